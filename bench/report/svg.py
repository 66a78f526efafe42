"""The few shapes that the pictures are made of, light and dark by themselves. Text out; nothing is drawn elsewhere.

Colours come from a style sheet inside the picture (`prefers-color-scheme`), so that a page that shows it as an image
needs nothing; on paper it is the light one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

STYLE = """
    .card { fill: #fbfbf9 } .ink { fill: #1c2430 } .dim { fill: #667085 } .grid { stroke: #e4e7ec; stroke-width: 1 }
    .ours { fill: #2563eb } .other { fill: #98a2b3 } .bar-ours { stroke: #2563eb } .bar-other { stroke: #98a2b3 }
    .hollow { fill: #fbfbf9 } .band { fill: #2563eb; opacity: .06 } .title { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .card { fill: #171b22 } .ink { fill: #e6e9ef } .dim { fill: #98a2b3 } .grid { stroke: #2b313b }
      .ours { fill: #6ea8fe } .other { fill: #667085 } .bar-ours { stroke: #6ea8fe } .bar-other { stroke: #667085 }
      .hollow { fill: #171b22 } .band { fill: #6ea8fe; opacity: .09 }
    }
"""


def text(x: float, y: float, words: str, *, style: str = "ink", anchor: str = "start", size: float = 13) -> str:
    """Words; `anchor` is SVG's text-anchor."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}"'
    return f'<text {place} class="{style}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, style: str = "grid", width: float = 1) -> str:
    """A straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}" stroke-width="{width:g}"'
        ' stroke-linecap="round"/>'
    )


def dot(x: float, y: float, *, style: str, radius: float = 5) -> str:
    """A full circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{style}"/>'


def ring(x: float, y: float, *, style: str, radius: float = 4.5) -> str:
    """A circle; `style` is that of its line."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="hollow {style}" stroke-width="2"/>'


def band(x: float, y: float, width: float, height: float, *, style: str = "band") -> str:
    """A rectangle with round corners."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" class="{style}"/>'


def path(points: Sequence[tuple[float, float]], *, style: str) -> str:
    """A line through points."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{steps}" fill="none" class="{style}" stroke-width="2.5" stroke-linejoin="round"/>'


def picture(width: float, height: float, title: str, description: str, shapes: Sequence[str]) -> str:
    """The whole file.

    Args:
        width: Of the coordinates.
        height: Of the coordinates.
        title: For those who hear it.
        description: What it shows, for the same.
        shapes: Its content.
    """
    body = "\n  ".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        ' font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" aria-labelledby="t d">\n'
        f'  <title id="t">{escape(title)}</title>\n  <desc id="d">{escape(description)}</desc>\n'
        f"  <style>{STYLE}  </style>\n"
        f'  <rect width="{width:g}" height="{height:g}" rx="14" class="card"/>\n  {body}\n</svg>\n'
    )


class Scale:
    """From values to places along an axis.

    Args:
        values: All that have to fit.
        start: Place of the least.
        end: Place of the most.
        logarithmic: By powers of ten, else from zero.
        tight: From the least to the most value, instead of from one power of ten to another.
    """

    def __init__(
        self, values: Sequence[float], start: float, end: float, *, logarithmic: bool, tight: bool = False
    ) -> None:
        self._start, self._end, self._logarithmic = start, end, logarithmic
        if logarithmic:
            self._low, self._high = log10(min(values)), log10(max(values))
            if not tight:
                self._low, self._high = float(floor(self._low)), float(ceil(self._high))
            if self._low == self._high:
                self._high += 1
            self.ticks = [10.0**power for power in range(ceil(self._low), floor(self._high) + 1)]
        else:
            step = nice_step(max(values))
            self._low, self._high = 0.0, step * ceil(max(values) / step)
            self.ticks = [step * number for number in range(round(self._high / step) + 1)]

    def __call__(self, value: float) -> float:
        """Where a value is."""
        place = log10(value) if self._logarithmic else value
        return self._start + (place - self._low) / (self._high - self._low) * (self._end - self._start)


def nice_step(most: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides 0 to `most` into four at most."""
    rough = most / 4
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
