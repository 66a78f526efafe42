"""Events as people look at them in a terminal: a table that fits its width, or a line each.

Whatever bytes an event holds, nothing of it reaches the terminal as a control character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tidemill.cli.terminal import err, out

if TYPE_CHECKING:
    from rich.console import JustifyMethod

PLACE = "_place"
WIDEST = (40, 24, 16)
"""Characters of a cell, where several columns share the width: the first of these with which all fit, or the last."""
FEWEST = 12
"""Fewer characters of a column aren't worth showing."""
GUTTER = 2
"""Characters between two columns."""
UNCUT = frozenset({PLACE, "_timestamp"})
ENVELOPE_HEADINGS = {PLACE: "PLACE", "_timestamp": "TIME (UTC)", "_key": "KEY"}


def printable(text: str) -> str:
    """A text with every control character made visible, as Python writes it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def cell_text(value: Any) -> str:
    """A value in one line: text as it is, times to the millisecond, records and lists as JSON."""
    from datetime import datetime

    from tidemill.json_values import as_json

    match value:
        case None:
            return ""
        case str():
            return printable(value)
        case datetime():
            shown = value.isoformat(sep=" ", timespec="milliseconds")
            return shown.removesuffix("+00:00")
        case bytes():
            return printable(value.decode("utf-8", "backslashreplace"))
        case list() | dict():
            return printable(as_json(value))
    return printable(str(value))


def shortened(text: str, width: int) -> str:
    """A text without its middle, where it is too long: ends tell keys and paths apart. Of JSON the beginning counts."""
    if len(text) <= width or text.startswith(("{", "[")):
        return text
    kept = width - 1
    return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"


def show_rows(rows: Any, columns: Sequence[str], *, right: frozenset[str] = frozenset()) -> None:
    """A table of rows on standard output, with as many columns as fit; the others are named below it.

    Args:
        rows: A `pyarrow.Table`.
        columns: Which of its columns, in order.
        right: Those that are numbers.
    """
    cells = {
        name: [cell_text(each) for each in rows.column(name).to_pylist(maps_as_pydicts="lossy")] for name in columns
    }
    headings = {name: ENVELOPE_HEADINGS.get(name, name) for name in columns}
    widths = {name: max(len(headings[name]), *map(len, cells[name]), 1) for name in columns}
    for most in WIDEST:
        fitting, left_over = _fitting(columns, widths, out.width, most)
        if not left_over:
            break
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, width in fitting.items():
        justify: JustifyMethod = "right" if name in right else "left"
        table.add_column(Text(headings[name]), no_wrap=True, overflow="ellipsis", width=width, justify=justify)
    for number in range(rows.num_rows):
        table.add_row(*(Text(shortened(cells[name][number], width)) for name, width in fitting.items()))
    out.print(table)
    if left_over:
        err.print(
            f"Too narrow for {', '.join(left_over)}; see --columns and --json.",
            markup=False,
            style="dim",
            soft_wrap=True,
        )


def _fitting(columns: Sequence[str], widths: dict[str, int], room: int, most: int) -> tuple[dict[str, int], list[str]]:
    """The width of those columns that fit beside each other, and which don't.

    Args:
        columns: In order.
        widths: What each would take, in characters.
        room: What there is.
        most: What one may take, but the last one.
    """
    fitting: dict[str, int] = {}
    for place, name in enumerate(columns):
        wanted = widths[name] if name in UNCUT else min(most, widths[name])
        # A last column may be cut, if something of it is left to see.
        if fitting and min(wanted, FEWEST) > room:
            return fitting, [*columns[place:]]
        fitting[name] = max(1, min(wanted, room))
        room -= fitting[name] + GUTTER
    last = columns[-1]
    fitting[last] = min(widths[last], fitting[last] + max(0, room + GUTTER))
    return fitting, []


def event_line(place: str, time: str, key: str | None, rest: str) -> Text:
    """An event in one line.

    Args:
        place: Partition and offset.
        time: When.
        key: Its key; None for none.
        rest: Its payload.
    """
    line = Text(time, "dim").append("  ").append(place, "cyan").append("  ")
    line.append(printable("(no key)" if key is None else key), "bold")
    return line.append("  ").append(printable(rest), "default")
