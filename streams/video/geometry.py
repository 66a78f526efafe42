"""How large a video becomes. Computes with whole pixels; both sides are even, as 4:2:0 colours need them."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def fit(source: Size, *, width: int | None = None, height: int | None = None, short_side: int | None = None) -> Size:
    """The largest even size with the source's shape that keeps every bound and enlarges nothing.

    Args:
        source: As it is shown: upright, with square pixels.
        width, height: Largest; None for any.
        short_side: Largest length of the shorter side; None for any.
    """
    scale = 1.0
    for bound, length in ((width, source.width), (height, source.height), (short_side, min(source))):
        if bound is not None:
            scale = min(scale, bound / length)
    most_width = _most(source.width, width)
    most_height = _most(source.height, height)
    if short_side is not None and source.width <= source.height:
        most_width = min(most_width, _most(source.width, short_side))
    if short_side is not None and source.height <= source.width:
        most_height = min(most_height, _most(source.height, short_side))
    return Size(min(_even(source.width * scale), most_width), min(_even(source.height * scale), most_height))


def _even(length: float) -> int:
    """The nearest even length."""
    return max(2, 2 * round(length / 2))


def _most(length: int, bound: int | None) -> int:
    """The largest even length within the source and the bound."""
    return max(2, min(length, length if bound is None else bound) // 2 * 2)
