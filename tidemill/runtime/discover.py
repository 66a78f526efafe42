"""Finding streams: by the entry points `tidemill.streams` of whatever is installed, or by `module:attribute`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from tidemill.errors import StreamError, TidemillError
from tidemill.runtime.stream import Stream

GROUP = "tidemill.streams"


def installed_streams() -> dict[str, EntryPoint]:
    """Entry points by the stream's name.

    Raises:
        StreamError: Two packages offer a stream of one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise StreamError(
                f"Two streams are named {point.name!r}: {other.value} and {point.value}.",
                hint="They would share one consumer group and each get half of the events. Rename or uninstall one.",
            )
    return found


def load_streams(names: Sequence[str]) -> list[Stream]:
    """The streams of these names.

    Args:
        names: Entry points' names, or `module:attribute`.

    Raises:
        StreamError: One can't be found or imported, isn't a stream, or two have the same name.
    """
    installed = installed_streams()
    streams: dict[str, Stream] = {}
    for name in dict.fromkeys(names):
        reference = installed[name].value if name in installed else name
        if ":" not in reference:
            near = difflib.get_close_matches(name, installed, 1)
            known = ", ".join(sorted(installed)) or "none"
            raise StreamError(
                f"There is no stream {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""),
                hint=f"Installed are: {known}. A stream of your own can be given as module:attribute.",
            )
        stream = _load(reference)
        other = streams.setdefault(stream.name, stream)
        if other is not stream:
            raise StreamError(
                f"Two streams are named {stream.name!r}: {other.reference} and {stream.reference}.",
                hint="They would share one consumer group and each get half of the events. Give one another name.",
            )
    return list(streams.values())


def _load(reference: str) -> Stream:
    module, _, attribute = reference.partition(":")
    if not module or not attribute:
        raise StreamError(f"{reference!r} doesn't name a stream.", hint="Write it as module:attribute.")
    try:
        holder = importlib.import_module(module)
    except TidemillError:
        raise  # A stream that is declared wrongly says so itself.
    except ModuleNotFoundError as error:
        raise StreamError(
            f"{reference} can't be imported: {error}.",
            hint="Install what it needs, e.g. `pip install 'tidemill[all]'`, or check the spelling.",
        ) from error
    except Exception as error:  # a module's own code may raise anything while it is imported
        raise StreamError(
            f"{reference} can't be imported: {type(error).__name__}: {error}.",
            hint=f"Try `python -c 'import {module}'`.",
        ) from error
    found = getattr(holder, attribute, None)
    if found is None:
        streams = [name for name, value in vars(holder).items() if isinstance(value, Stream)]
        near = difflib.get_close_matches(attribute, streams, 1)
        raise StreamError(
            f"Module {module!r} has no {attribute!r}." + (f" Did you mean {near[0]!r}?" if near else ""),
            hint=f"Its streams are: {', '.join(streams) or 'none'}.",
        )
    if not isinstance(found, Stream):
        raise StreamError(
            f"{reference} is a {type(found).__name__}, not a stream.", hint="Decorate a function with @stream(...)."
        )
    return found
