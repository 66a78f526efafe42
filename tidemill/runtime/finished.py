"""Offsets finished beyond the committed one, as text that travels in the commit's metadata.

One slow event holds a partition's committed offset back while later ones finish. Without this map a crash would run all
of those again. The form is run lengths, deflated, in base 85, after the offset they count from: a tool that moves the
offset and copies the metadata (MirrorMaker does) must not make events look finished that are not. No I/O.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

PREFIX = "tm1:"
LIMIT_BYTES = 4096
"""The broker's `offset.metadata.max.bytes`, by default."""
MOST_INFLATED_BYTES = 1 << 20
"""What a map may hold before it is taken for garbage; anybody who may commit to the group can write one."""


def to_metadata(offset: int, finished: Sequence[range], limit_bytes: int = LIMIT_BYTES) -> str:
    """The map of these offsets; of as many as fit, from the lowest on.

    Args:
        offset: The offset that is committed with it: everything before it is finished.
        finished: Ranges beyond it, ascending and apart from each other.
        limit_bytes: Most bytes of the text.

    Returns:
        The text; empty where nothing is finished beyond the offset, or nothing fits.
    """
    runs: list[int] = []
    position = offset
    for some in finished:
        runs += (some.start - position, some.stop - some.start)
        position = some.stop
    while runs:
        text = PREFIX + _pack([offset, *runs])
        if len(text) <= limit_bytes:
            return text
        # What is left out runs again after a crash. The share that fits is a guess; the next round sees whether it is.
        fit = int(len(runs) * limit_bytes / len(text) * 0.95)
        runs = runs[: min(fit, len(runs) - 1) // 2 * 2]
    return ""


def from_metadata(offset: int, metadata: str | None) -> list[range]:
    """The ranges that a map holds; none where it isn't one, or belongs to another offset.

    Args:
        offset: The committed offset it came with.
        metadata: What was committed with it, by whomever.
    """
    if not metadata or not metadata.startswith(PREFIX):
        return []
    try:
        counted_from, *runs = _unpack(metadata.removeprefix(PREFIX))
    except (ValueError, binascii.Error, zlib.error):
        return []
    if counted_from != offset or len(runs) % 2:
        return []
    finished = []
    position = offset
    for unfinished, length in zip(runs[::2], runs[1::2], strict=True):
        first = position + unfinished
        position = first + length
        finished.append(range(first, position))
    return finished


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
