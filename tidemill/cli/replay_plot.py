"""Counts as bars in a terminal. Computes only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tidemill.cli.replay_rows import printable, shortened

EIGHTHS = " ▏▎▍▌▋▊▉"
LONGEST_LABEL = 60
MOST_EMPTY = 3
"""More empty rows than this in succession become one."""


def bar(count: int, most: int, width: int) -> str:
    """A bar of block characters, an eighth of one at least where there is anything.

    Args:
        count: What it stands for.
        most: What the longest one stands for.
        width: Characters of that one.
    """
    if not count or not most:
        return ""
    eighths = max(1, round(count * width * 8 / most))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def bars(rows: Sequence[tuple[str, int]], width: int) -> list[Text]:
    """A line for each count: label, number, bar.

    Args:
        rows: Labels and counts, in order.
        width: Characters of a line.
    """
    if not rows:
        return []
    labels = [shortened(printable(label), max(8, min(LONGEST_LABEL, width // 2))) for label, _ in rows]
    numbers = [f"{count:,}" for _, count in rows]
    wide, broad = max(map(len, labels)), max(map(len, numbers))
    room = max(1, width - wide - broad - 4)
    most = max(count for _, count in rows)
    lines = []
    empty = 0
    for place, (label, number, (_, count)) in enumerate(zip(labels, numbers, rows, strict=True)):
        empty = 0 if count else empty + 1
        if empty > MOST_EMPTY:
            continue
        if empty == MOST_EMPTY and (gap := _gap(rows, place)) > 1:
            lines.append(Text(f"{'⋮':<{wide}}  {'0':>{broad}}  ({gap} more)".rstrip(), "dim"))
            continue
        line = Text(f"{label:<{wide}}  ").append(f"{number:>{broad}}", "bold").append("  ")
        lines.append(line.append(bar(count, most, room), "cyan"))
    return lines


def _gap(rows: Sequence[tuple[str, int]], place: int) -> int:
    """How many rows from this one on are empty."""
    length = 0
    while place + length < len(rows) and not rows[place + length][1]:
        length += 1
    return length
