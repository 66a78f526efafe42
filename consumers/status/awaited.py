"""Which streams take an event, and what tells that they have done it. Known from the streams that are installed.

A stream tells by what it publishes. One that publishes nothing, and isn't `tracked`, says nothing of a success: no
event is taken to be unfinished for its sake, unless it says itself that it is at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill.errors import StreamError
from tidemill.runtime.discover import installed_streams, load_streams
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.stream import Stream


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a stream for each of its events."""

    outputs: frozenset[str] = frozenset()
    """Types of what it publishes; empty where that isn't known."""
    tells: bool = True
    """Whether it publishes, or says, that it is done."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """Streams by the type of their events, and by name."""

    by_type: Mapping[str, Mapping[str, Expected]] = field(default_factory=dict)

    def of(self, event_type: str | None) -> Mapping[str, Expected]:
        """The streams that take a type; empty for a result."""
        return self.by_type.get(event_type or "", {})


def installed_awaited(settings: Settings) -> Awaited:
    """The streams that are installed here, and those of the setting `status_streams`."""
    streams: list[Stream] = []
    for name in sorted(installed_streams()):
        try:
            streams += load_streams([name])
        except StreamError as error:
            get_logger("tracker").warning(
                "a stream can't be asked which events it takes: they count as results",
                stream=name,
                error=str(error),
                hint="Install it here too, or name it in TIDEMILL_STATUS_STREAMS.",
            )
    return awaited(streams, settings.status_streams)


def awaited(streams: list[Stream], others: Mapping[str, str]) -> Awaited:
    """What is awaited of these streams.

    Args:
        streams: Whose declaration is known.
        others: Name -> type of events of those of which only that is known.
    """
    by_type: dict[str, dict[str, Expected]] = {}
    for name, event_type in others.items():
        by_type.setdefault(event_type, {})[name] = Expected()
    for stream in streams:
        outputs = frozenset(cls.__contract__.type for cls in stream.outputs)
        tells = bool(outputs) or bool(getattr(stream, "tracked", False))
        by_type.setdefault(stream.event_type, {})[stream.name] = Expected(outputs, tells)
    return Awaited(by_type)
