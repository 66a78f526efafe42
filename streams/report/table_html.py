"""A table on a page, as pieces of HTML: its head repeats on each page, numbers stand flush right under each other.

Every value is escaped here; nothing of a row is ever markup. In pieces, since a table may be most of a page of
megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

from streams.report.columns import Cell, Shown
from streams.report.rows import Rows
from streams.report.wording import Wording
from streams.report.words import Words

_PIECE_ROWS = 200


def table_pieces(
    rows: Rows, wording: Wording, words: Words, *, columns: Sequence[str], total: Sequence[str], limit: int | None
) -> Iterator[str]:
    """The HTML of a table.

    Args:
        rows: What a query gave.
        wording: Writes values.
        words: Of the page's language.
        columns: Which columns, in order; none for all.
        total: Columns that are summed in a last row.
        limit: Most rows to show.

    Raises:
        Reject: There is no such column, or it can't be summed.
    """
    if not len(rows):
        yield f'<p class="empty">{escape(words.no_rows)}</p>'
        return
    indexes = [rows.index(name) for name in columns or [column.name for column in rows.columns]]
    shown = [rows.columns[index] for index in indexes]
    values = rows.values if limit is None else rows.values[:limit]
    kinds = [
        _kind(column, [row[index] for row in values], wording) for column, index in zip(shown, indexes, strict=True)
    ]
    heads = "".join(f"<th{kind}>{escape(wording.head(column))}</th>" for kind, column in zip(kinds, shown, strict=True))
    yield f'<div class="scroll"><table class="rows"><thead><tr>{heads}</tr></thead><tbody>'
    cells = list(zip(indexes, shown, kinds, strict=True))
    for start in range(0, len(values), _PIECE_ROWS):
        yield "".join(
            "<tr>"
            + "".join(f"<td{kind}>{escape(wording.cell(row[index], column))}</td>" for index, column, kind in cells)
            + "</tr>"
            for row in values[start : start + _PIECE_ROWS]
        )
    if total:
        yield _total(rows, wording, words, shown, kinds, total)
    yield "</tbody></table></div>"
    if len(values) < rows.count:
        note = words.first_rows.format(shown=wording.number(len(values)), count=wording.number(rows.count))
        yield f'<p class="cut">{escape(note)}</p>'


def _kind(column: Shown, values: Sequence[Cell], wording: Wording) -> str:
    """The class of a column's cells: numbers, dates, or neither; by what is declared, else by the first value."""
    first = next((value for value in values if value is not None), None)
    if wording.is_number(column, first):
        return ' class="n"'
    return ' class="d"' if isinstance(first, date) else ""


def _total(
    rows: Rows, wording: Wording, words: Words, shown: Sequence[Shown], kinds: Sequence[str], total: Sequence[str]
) -> str:
    sums = {rows.column(name).name: rows.total(name) for name in total}
    said = [wording.cell(sums[column.name], column) if column.name in sums else "" for column in shown]
    said[0] = said[0] or words.total
    cells = [f"<td{kind}>{escape(text)}</td>" for text, kind in zip(said, kinds, strict=True)]
    return f'<tr class="total">{"".join(cells)}</tr>'
