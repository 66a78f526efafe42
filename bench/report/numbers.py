"""Numbers as people read them: no more digits than were measured."""

from __future__ import annotations

from math import floor, log10

from bench.figures import Figure

DIGITS = 3
"""Rounds differ by some percent, so a fourth digit would say nothing."""


def number(value: float) -> str:
    """A number with three digits that count, and thousands apart: 61,200 or 2.14."""
    if value == 0:
        return "0"
    places = DIGITS - 1 - floor(log10(abs(value)))
    rounded = round(value, places)
    # Rounding up may add a digit: 9.996 is 10.0.
    places = max(0, DIGITS - 1 - floor(log10(abs(rounded))))
    return f"{rounded:,.{places}f}"


def short(value: float) -> str:
    """The same where there is little room: 61k, 1.2M."""
    for limit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"


def shown(figure: Figure | None) -> str:
    """A figure's median; a dash where it wasn't measured, and the reason where it couldn't be reached."""
    if figure is None:
        return "–"
    return figure.note if figure.value is None else number(figure.value)
