"""The shapes that plots are made of, as SVG's text, and how wide words are about."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

INK, QUIET, GRID, AXIS = "#1d1d1b", "#66625c", "#e3e0da", "#1d1d1b"
COLORS = ("#1f5c8f", "#d9822b", "#4f9a8b", "#a83a55", "#8c867d", "#c7a93f", "#6b5b95", "#7fa650")
"""Apart for those who see red and green alike, too: they differ in lightness."""
FAMILY = "'Source Sans 3', 'Segoe UI', system-ui, sans-serif"
FULL_WIDTH, HALF_WIDTH = 658.0, 317.0
"""The width of a page's text at 96 dots an inch, and of half of it: sizes in plots are then those of the text."""
LABEL_SIZE = 11.5

_NARROW = frozenset("iljItfr.,:;'|!()[]/ \u00a0\u202f’")
_WIDE = frozenset("mwMWÆŒæœ@%—")


def width_of(words: str, size: float = LABEL_SIZE) -> float:
    """About how wide words are in the page's type; rather too much than too little."""
    total = 0.0
    for letter in words:
        if letter in _NARROW:
            total += 0.3
        elif letter in _WIDE:
            total += 0.85
        elif unicodedata.east_asian_width(letter) in "WF":
            total += 1.0
        else:
            total += 0.6 if letter.isupper() else 0.52
    return total * size


def fitted(words: str, width: float, size: float = LABEL_SIZE) -> str:
    """Words cut so that they are no wider."""
    if width_of(words, size) <= width:
        return words
    while words and width_of(words + "…", size) > width:
        words = words[:-1]
    return words.rstrip() + "…"


def text(
    x: float,
    y: float,
    words: str,
    *,
    color: str = QUIET,
    anchor: str = "start",
    size: float = LABEL_SIZE,
    weight: int = 400,
) -> str:
    """Words; `anchor` is SVG's text-anchor."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" font-size="{size:g}"'
        f' font-weight="{weight}">{escape(words)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, *, color: str = GRID, width: float = 1) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width:g}"/>'


def box(x: float, y: float, width: float, height: float, color: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{color}"/>'


def dot(x: float, y: float, color: str, radius: float = 3) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>'


def path(points: Sequence[tuple[float, float]], color: str, width: float = 2) -> str:
    """A line through points."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<path d="M{steps}" fill="none" stroke="{color}" stroke-width="{width:g}" stroke-linejoin="round"'
        ' stroke-linecap="round"/>'
    )


def picture(width: float, height: float, label: str, shapes: Sequence[str]) -> str:
    """The whole of a plot.

    Args:
        width: Of the coordinates.
        height: Of the coordinates.
        label: What it shows, for those who hear it.
        shapes: Its content.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(label)}" font-family="{FAMILY}">{"".join(shapes)}</svg>'
    )
