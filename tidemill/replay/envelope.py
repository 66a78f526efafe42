"""The columns that are not of the payload: where an event lies, its key, its headers. All start with an underscore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tidemill.event import Event
from tidemill.replay.decoding import schema_ids
from tidemill.replay.extras import need
from tidemill.replay.slices import Slice

USUAL = ("_partition", "_offset", "_timestamp", "_key", "_schema_id")
"""Those that come unasked: they cost little."""
FROM_HEADERS = ("_headers", "_id", "_time", "_root", "_cause", "_replay")
"""Those that cost about two microseconds an event, and come when they are named."""
RAW = ("_value",)
EVERY = (*USUAL, *FROM_HEADERS, *RAW)


def envelope_type(name: str) -> Any:
    """The Arrow type of an envelope column."""
    pa = need("pyarrow", "reading topics as tables")
    match name:
        case "_partition":
            return pa.int32()
        case "_offset" | "_schema_id":
            return pa.int64()
        case "_timestamp":
            return pa.timestamp("ms", "UTC")
        case "_time":
            return pa.timestamp("us", "UTC")
        case "_headers":
            return pa.map_(pa.string(), pa.binary())
        case "_value":
            return pa.binary()
    return pa.string()


def envelope_column(name: str, taken: Slice) -> Any:
    """One envelope column of a slice, as an Arrow array.

    Args:
        name: One of `EVERY`.
        taken: The slice; with its messages, where `name` is one of `FROM_HEADERS`.
    """
    pa = need("pyarrow", "reading topics as tables")
    if name == "_key":
        try:
            return pa.array(taken.keys, pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            # Keys of foreign producers may be any bytes.
            return pa.array(
                [None if key is None else key.decode("utf-8", "replace") for key in taken.keys], pa.string()
            )
    if name == "_schema_id":
        return schema_ids(taken.prefixes)
    return pa.array(_values(name, taken), envelope_type(name))


def _values(name: str, taken: Slice) -> Sequence[Any]:
    match name:
        case "_partition":
            return taken.partitions
        case "_offset":
            return taken.offsets
        case "_timestamp":
            return taken.timestamps
        case "_value":
            return taken.values
    read = _OF_EVENT[name]
    return [read(Event.received(None, message)) for message in taken.messages]


# Of a header given twice the last one counts, as everywhere: a map with a key twice is refused by DuckDB.
_OF_EVENT: dict[str, Callable[[Event[Any]], Any]] = {
    "_headers": lambda event: [*dict(event.raw_headers).items()],
    "_id": lambda event: event.id,
    "_time": lambda event: event.time,
    "_root": lambda event: event.root,
    "_cause": lambda event: event.cause,
    "_replay": lambda event: event.replay,
}
