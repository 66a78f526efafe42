"""Stretches of offsets that are done, behind one that isn't: computed from what is in hand. No I/O, no state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Piece(Protocol):
    """Some offsets that are done together; a partition's unit is one."""

    offset: int
    next_offset: int
    done: bool


def done_beyond(offset: int, pieces: Sequence[Piece], known: Iterable[range]) -> list[range]:
    """What is done beyond an offset.

    Args:
        offset: Everything before it is done.
        pieces: What is in hand, ascending; no message lies between two neighbours, whatever their offsets.
        known: What an earlier owner has done; counts behind the last piece only, where nothing was read yet.

    Returns:
        Ranges, ascending and apart from each other.
    """
    done: list[range] = []
    after_done = False
    for piece in pieces:
        if not piece.done or piece.offset < offset:
            after_done = False
            continue
        first = done.pop().start if after_done else piece.offset
        done.append(range(first, piece.next_offset))
        after_done = True
    read = pieces[-1].next_offset if pieces else offset
    done += (range(max(some.start, read), some.stop) for some in known if some.stop > read)
    return done
