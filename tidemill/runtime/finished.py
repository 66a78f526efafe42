"""What a commit's metadata tells beside its offset: what is finished beyond it, and what waits for its next try.

One slow event holds a partition's committed offset back while later ones finish. Without this map a crash would run all
of those again, and forget how often the slow one was tried. The form is numbers of variable length, deflated, in base
85, after the offset they count from: a tool that moves the offset and copies the metadata (MirrorMaker does) must not
make events look finished that are not. No I/O.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

PREFIX = "tm1:"
"""Of a map without held events: workers of before there were any read it, too."""
PREFIX_HELD = "tm2:"
LIMIT_BYTES = 4096
"""The broker's `offset.metadata.max.bytes`, by default."""
MOST_INFLATED_BYTES = 1 << 20
"""What a map may hold before it is taken for garbage; anybody who may commit to the group can write one."""
DUE_STEP_MS = 100
"""How exactly a map tells when an event is due; rounded up, so that none is tried early."""
_HELD_NUMBERS = 4


class Held(NamedTuple):
    """An event that has failed and waits, where it is, for its next try."""

    offset: int
    attempts: int
    """Tries made."""
    due_ms: int
    """When it is tried again, in milliseconds since 1970."""
    wait_seconds: int
    """How long it waits in all, rounded up: whoever's clock is wrong waits no longer."""

    def left_seconds(self, now: float) -> float:
        """How long it still waits.

        Args:
            now: time.time().
        """
        return min(max(0.0, self.due_ms / 1000 - now), float(self.wait_seconds))


def held_for(offset: int, attempts: int, wait_seconds: float, now: float) -> Held:
    """An event that waits from now on.

    Args:
        offset: Its offset.
        attempts: Tries made.
        wait_seconds: For how long.
        now: time.time().
    """
    return Held(offset, attempts, math.ceil((now + wait_seconds) * 1000), math.ceil(wait_seconds))


class Ahead(NamedTuple):
    """What a map holds."""

    finished: list[range]
    """Offsets beyond the committed one, ascending and apart from each other."""
    held: list[Held]
    """By offset, ascending."""


def to_metadata(
    offset: int, finished: Sequence[range], held: Iterable[Held] = (), limit_bytes: int = LIMIT_BYTES
) -> str:
    """The map of these offsets; of as many as fit, held events first, then what is finished, each from the lowest on.

    Args:
        offset: The offset that is committed with it: everything before it is finished.
        finished: Ranges beyond it, ascending and apart from each other.
        held: Events from it on that wait for their next try.
        limit_bytes: Most bytes of the text.

    Returns:
        The text; empty where there is nothing to tell, or nothing fits.
    """
    waiting = sorted(held)
    runs: list[int] = []
    position = offset
    for some in finished:
        runs += (some.start - position, some.stop - some.start)
        position = some.stop
    while runs or waiting:
        if waiting:
            text = PREFIX_HELD + _pack([offset, *_numbers_of(offset, waiting), *runs])
        else:
            text = PREFIX + _pack([offset, *runs])
        if len(text) <= limit_bytes:
            return text
        # What is left out runs again after a crash, or is tried again at once. The share that fits is a guess; the next
        # round sees whether it is.
        share = limit_bytes / len(text) * 0.95
        if runs:
            runs = runs[: min(int(len(runs) * share), len(runs) - 1) // 2 * 2]
        else:
            waiting = waiting[: min(int(len(waiting) * share), len(waiting) - 1)]
    return ""


def from_metadata(offset: int, metadata: str | None) -> Ahead:
    """What a map holds; nothing where it isn't one, or belongs to another offset.

    Args:
        offset: The committed offset it came with.
        metadata: What was committed with it, by whomever.
    """
    nothing = Ahead([], [])
    if not metadata or not metadata.startswith((PREFIX, PREFIX_HELD)):
        return nothing
    try:
        counted_from, *runs = _unpack(metadata[len(PREFIX) :])
    except (ValueError, binascii.Error, zlib.error):
        return nothing
    if counted_from != offset:
        return nothing
    held: list[Held] = []
    if metadata.startswith(PREFIX_HELD):
        count, *runs = runs or [0]
        first_due, *runs = runs or [0]
        if not 0 < count * _HELD_NUMBERS <= len(runs):
            return nothing
        held = _held_of(offset, first_due, runs[: count * _HELD_NUMBERS])
        runs = runs[count * _HELD_NUMBERS :]
    if len(runs) % 2:
        return nothing
    finished = []
    position = offset
    for unfinished, length in zip(runs[::2], runs[1::2], strict=True):
        first = position + unfinished
        position = first + length
        finished.append(range(first, position))
    return Ahead(finished, held)


def _numbers_of(offset: int, held: Sequence[Held]) -> list[int]:
    # Column by column, in which neighbours are alike: that deflates to half of what it does event by event.
    first_due = min(each.due_ms for each in held) // DUE_STEP_MS
    offsets = [offset, *(each.offset for each in held)]
    return [
        len(held),
        first_due,
        *(after - before for before, after in pairwise(offsets)),
        *(each.attempts for each in held),
        *(-(-each.due_ms // DUE_STEP_MS) - first_due for each in held),
        *(each.wait_seconds for each in held),
    ]


def _held_of(offset: int, first_due: int, numbers: Sequence[int]) -> list[Held]:
    count = len(numbers) // _HELD_NUMBERS
    gaps, attempts, dues, waits = (numbers[at : at + count] for at in range(0, len(numbers), count or 1))
    offsets = accumulate(gaps, initial=offset)
    next(offsets)
    return [
        Held(place, tries, (first_due + due) * DUE_STEP_MS, wait)
        for place, tries, due, wait in zip(offsets, attempts, dues, waits, strict=True)
    ]


def _pack(numbers: Sequence[int]) -> str:
    packed = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return base64.b85encode(zlib.compress(bytes(packed), 9, -zlib.MAX_WBITS)).decode("ascii")


def _unpack(text: str) -> list[int]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = inflater.decompress(base64.b85decode(text), MOST_INFLATED_BYTES)
    if not inflater.eof:
        raise ValueError("cut short, or too large")
    numbers = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
        elif shift > 63:
            raise ValueError("a number of more than 63 bits")
    if shift:
        raise ValueError("the last number is cut short")
    return numbers
