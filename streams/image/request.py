"""Whether what was asked for makes sense, before anything is read.

Types and enumerations are already right (the codec saw to that); this is about values. One error names every fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from streams.image.settings import ImageSettings
from tidemill.errors import Reject
from tidemill.events import Rendition

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COLOR = re.compile(r"#([0-9A-Fa-f]{6})([0-9A-Fa-f]{2})?")


def check_renditions(renditions: Sequence[Rendition], settings: ImageSettings) -> None:
    """Refuse a list of renditions that can't be made.

    Raises:
        Reject: Says for each fault which rendition and field, what was found and what is expected.
    """
    if not renditions:
        raise Reject("No renditions are asked for.", hint="Ask for at least one in `renditions`.")
    if len(renditions) > settings.max_renditions:
        raise Reject(
            f"{len(renditions)} renditions are asked for; at most {settings.max_renditions} are made of one picture.",
            hint="Publish several events for the same source.",
        )
    faults = [fault for index, rendition in enumerate(renditions) for fault in _faults(index, rendition, settings)]
    first_use: dict[str, int] = {}
    for index, rendition in enumerate(renditions):
        if first_use.setdefault(rendition.name, index) != index:
            faults.append(
                f"renditions[{index}].name {_shown(rendition.name)} is also that of "
                f"renditions[{first_use[rendition.name]}]; names are unique"
            )
    if faults:
        raise Reject(f"The request can't be met: {'; '.join(faults)}.", hint="Correct it and publish it again.")


def parse_color(text: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha, 0 to 255, of `#rrggbb` or `#rrggbbaa`.

    Raises:
        ValueError: The text has another form.
    """
    match = _COLOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} isn't #rrggbb or #rrggbbaa")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue, int(match[2] or "ff", 16)


def _faults(index: int, rendition: Rendition, settings: ImageSettings) -> Iterator[str]:
    field = f"renditions[{index}]"
    if not _NAME.fullmatch(rendition.name):
        yield (
            f"{field}.name {_shown(rendition.name)} isn't 1 to 64 letters, digits, dots, dashes or underscores "
            "that start with a letter or digit"
        )
    for side, length in (("width", rendition.width), ("height", rendition.height)):
        if length is not None and not 1 <= length <= settings.max_side:
            yield f"{field}.{side} is {length}, not 1 to {settings.max_side}"
    if rendition.fit != "contain" and (rendition.width is None or rendition.height is None):
        yield f"{field}.fit is {rendition.fit!r}, which needs both width and height"
    if rendition.quality is not None and not 1 <= rendition.quality <= 100:
        yield f"{field}.quality is {rendition.quality}, not 1 to 100"
    if not _COLOR.fullmatch(rendition.background):
        yield f"{field}.background {_shown(rendition.background)} isn't #rrggbb or #rrggbbaa"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
