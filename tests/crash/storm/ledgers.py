"""The two ledgers of a storm: what the publisher was told, and what handlers did. Both survive every kill.

A line is one write to a file opened for appending, so lines of several processes never mix, and what a handler wrote
before it was killed is there. Times are time.monotonic(): on one machine the same clock for all processes, untouched by
steps of the wall clock.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

HANDLERS_LEDGER = "TIDEMILL_STORM_LEDGER"
"""Environment variable: the file that handlers append to."""

Outcome = Literal["asked", "acknowledged", "failed", "unknown"]
Mark = Literal["START", "DONE"]


class _Line:
    """An entry as a line of JSON."""

    def to_line(self) -> bytes:
        return json.dumps(list(asdict(self).values()), separators=(",", ":")).encode() + b"\n"  # type: ignore[call-overload]

    @classmethod
    def read(cls, path: Path) -> Iterator[Self]:
        """All entries of a file in the order they were written; none where there is no file yet."""
        if not path.exists():
            return
        with path.open("rb") as lines:
            for line in lines:
                # The last line of a file that is still written to may be on its way.
                if line.endswith(b"\n"):
                    yield cls(*json.loads(line))


@dataclass(frozen=True, slots=True)
class Published(_Line):
    """What the publisher knows of an event.

    Args:
        outcome: `asked` before it is handed over; then `acknowledged`, `failed` (it is certainly not in Kafka) or
            `unknown`. An event without a second line is unknown too.
        time_seconds: When.
        id: The event's.
        stream: Which one it is for.
        lane: Its key.
        number: Its place within the lane, from 0.
        note: What its handler is to do.
        partition: Where it was acknowledged; -1 before.
    """

    outcome: Outcome
    time_seconds: float
    id: str
    stream: str
    lane: str
    number: int
    note: str
    partition: int = -1


@dataclass(frozen=True, slots=True)
class Handled(_Line):
    """What a handler did.

    Args:
        mark: `START` of a try, or `DONE`: the handler is about to return.
        time_seconds: When.
        id: The event's.
        stream: Which one ran it.
        lane: Its key.
        number: Its place within the lane.
        partition: Where it came from.
        attempt: Which try, from 1.
        worker: Number of the worker process, also where a child of it runs the handler.
    """

    mark: Mark
    time_seconds: float
    id: str
    stream: str
    lane: str
    number: int
    partition: int
    attempt: int
    worker: int


class Ledger:
    """A file that entries are appended to."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, entry: Published | Handled) -> None:
        """Append an entry.

        Raises:
            OSError: It could not be written in full.
        """
        line = entry.to_line()
        # One write: the kernel keeps it whole, and it outlives this process.
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"{written} of {len(line)} bytes of the ledger's line were written: {line!r}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


@cache
def handlers_ledger() -> Ledger:
    """The ledger of this process's handlers, opened with the first event."""
    return Ledger(Path(os.environ[HANDLERS_LEDGER]))


def now_seconds() -> float:
    """The time that all ledgers of a machine share."""
    return time.monotonic()
