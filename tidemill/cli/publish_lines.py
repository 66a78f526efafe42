"""Publishes the lines of a file and keeps count: what was acknowledged, what failed, on which line and why.

Memory stays bounded whatever the file's size: lines are read one by one, and at most `MOST_WAITING` receipts are kept.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from tidemill.errors import (
    ContractError,
    EventTooLarge,
    InvalidEvent,
    NotDelivered,
    SchemaNotRegistered,
    TidemillError,
)

MOST_WAITING = 10_000
"""Receipts that are waited for at once; further lines are read when the oldest is settled."""
SHOWN_FAILURES = 10
REPORT_EVERY_SECONDS = 0.1


class Receipt(Protocol):
    """What is needed of a publisher's receipt."""

    @property
    def done(self) -> bool: ...

    def result(self, timeout: float | None = None) -> object: ...


@dataclass(frozen=True)
class Failure:
    """A line whose event was not published."""

    line: int
    error: str


@dataclass
class Tally:
    """The counts so far."""

    acknowledged: int = 0
    failed: int = 0
    read_bytes: int = 0
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    first: list[Failure] = field(default_factory=list)
    """The first `SHOWN_FAILURES` of them, in the order in which they were found."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How many lines failed for each reason, whatever their values."""
    line: int = 0
    """Number of the last line that was read."""
    stopped: bool = False
    """Whether reading stopped at that line, since it was strict."""
    finished: bool = False
    """Whether all receipts were settled; False where an error or Ctrl-C broke it off."""

    @property
    def events_per_second(self) -> float:
        """Events acknowledged per second since the beginning."""
        return self.acknowledged / max(self.seconds, 1e-9)

    def fail(self, line: int, error: TidemillError) -> None:
        """Count a failure."""
        self.failed += 1
        self.reasons[reason(error)] += 1
        if len(self.first) < SHOWN_FAILURES:
            self.first.append(Failure(line, str(error)))


def publish_lines(
    stream: BinaryIO,
    send: Callable[[bytes], Receipt | None],
    tally: Tally,
    *,
    strict: bool,
    most_bytes: int,
    progress: Callable[[Tally], None],
) -> None:
    """Send each line that isn't blank, and wait for all acknowledgements.

    A line that holds no valid event is counted as failed and the next one is taken; an error that all lines would meet
    (no broker, no topic, no registered schema) ends it.

    Args:
        stream: Lines of JSON.
        send: Publishes a line; None where there is nothing to wait for.
        tally: Counts, kept up to date.
        strict: Stop at the first line that fails.
        most_bytes: Longest line that is read.
        progress: Called now and then.

    Raises:
        TidemillError: What no line would survive.
    """
    waiting: deque[tuple[int, Receipt]] = deque()
    reported = 0.0
    for number, line, line_bytes in read_lines(stream, most_bytes):
        tally.line = number
        tally.read_bytes += line_bytes
        try:
            if line is None:
                raise EventTooLarge(f"The line has {line_bytes:,} bytes; at most {most_bytes:,} are read.")
            line = line.strip()
            if not line:
                continue
            receipt = send(line)
        except TidemillError as error:
            _fail(tally, number, error)
        else:
            if receipt is None:
                tally.acknowledged += 1
            else:
                waiting.append((number, receipt))
        _settle(waiting, tally, most=MOST_WAITING)
        if strict and tally.failed:
            tally.stopped = True
            break
        now = time.monotonic()
        if now - reported >= REPORT_EVERY_SECONDS:
            reported, tally.seconds = now, now - tally.began
            progress(tally)
    while waiting:
        _settle(waiting, tally, most=len(waiting) - 1)
        tally.seconds = time.monotonic() - tally.began
        progress(tally)
    tally.seconds = time.monotonic() - tally.began
    tally.finished = True


def _settle(waiting: deque[tuple[int, Receipt]], tally: Tally, *, most: int) -> None:
    """Count the receipts that are settled, oldest first; wait until at most so many are left."""
    while waiting and (waiting[0][1].done or len(waiting) > most):
        number, receipt = waiting.popleft()
        try:
            receipt.result()
        except TidemillError as error:
            _fail(tally, number, error)
        else:
            tally.acknowledged += 1


def _fail(tally: Tally, number: int, error: TidemillError) -> None:
    if not isinstance(error, (ContractError, EventTooLarge, NotDelivered)) or isinstance(error, SchemaNotRegistered):
        raise error
    tally.fail(number, error)


def read_lines(stream: BinaryIO, most_bytes: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Lines with their numbers from 1 and their sizes in bytes; of one that is too long, None, and it is skipped.

    Args:
        stream: Where to read.
        most_bytes: Longest line, its end included.
    """
    number = 0
    while line := stream.readline(most_bytes + 1):
        number += 1
        if len(line) <= most_bytes:
            yield number, line, len(line)
            continue
        size_bytes = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(most_bytes)):
            size_bytes += len(line)
        yield number, None, size_bytes


def reason(error: TidemillError) -> str:
    """Why an event failed, without its values, so that equal faults of many lines count as one."""
    if isinstance(error, InvalidEvent):
        return re.sub(r"\[[^]]*\]", "[]", f"field {error.field!r} must be {error.expected}")
    if isinstance(error, ContractError):
        return re.sub(r"\[[^]]*\]", "[]", error.message).partition(" at ")[0].rstrip(".")
    return "too large" if isinstance(error, EventTooLarge) else error.message
