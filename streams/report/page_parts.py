"""What templates may call: tables, plots, pictures and figures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from streams.report.columns import Shown
from streams.report.plots import drawing
from streams.report.plots.bars import Bar
from streams.report.plots.bars import bars as bars_svg
from streams.report.plots.columns import columns as columns_svg
from streams.report.plots.lines import lines as lines_svg
from streams.report.plots.series import chart_of, number_of
from streams.report.plots.sparkline import sparkline as sparkline_svg
from streams.report.rows import Rows
from streams.report.table_html import table_pieces
from streams.report.wording import Wording
from streams.report.words import Words
from tidemill.errors import Reject
from tidemill.store.folder import Folder

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml", ".webp": "image/webp"}
_MOST_PICTURE_BYTES = 2_000_000


@dataclass(frozen=True)
class _Table:
    rows: Rows
    columns: Sequence[str]
    total: Sequence[str]
    limit: int | None


class PageParts:
    """The functions of one page.

    Args:
        folder: Of the report, for its pictures.
        wording: Writes values.
        words: Of the page's language.
    """

    def __init__(self, folder: Path, wording: Wording, words: Words) -> None:
        self._folder = Folder(folder)
        self._wording = wording
        self._words = words
        self._tables: list[_Table] = []

    @property
    def functions(self) -> dict[str, Callable[..., Markup]]:
        """All of them, by the names that templates have for them."""
        return {
            "table": self.table,
            "lines": self.lines,
            "columns": self.columns,
            "bars": self.bars,
            "sparkline": self.sparkline,
            "image": self.image,
        }

    def table(
        self, rows: Rows, columns: Sequence[str] = (), *, total: Sequence[str] = (), limit: int | None = None
    ) -> Markup:
        """A table of rows; its place is marked, and it is put in when the page is checked."""
        self._tables.append(_Table(rows, columns, total, limit))
        return _svg(f"<!--rows:{len(self._tables) - 1}-->")

    def table_pieces(self, number: int) -> Iterator[str]:
        """The HTML of a table that was asked for."""
        if number >= len(self._tables):
            raise Reject(f"The page holds the mark of a table {number} that it didn't ask for.")
        table = self._tables[number]
        return table_pieces(
            table.rows, self._wording, self._words, columns=table.columns, total=table.total, limit=table.limit
        )

    def lines(
        self,
        rows: Rows,
        x: str,
        y: str | Sequence[str],
        *,
        by: str | None = None,
        title: str,
        note: str = "",
        half: bool = False,
        height: float = 210,
    ) -> Markup:
        """Lines over a column of places, one per column of numbers or per value of `by`."""
        chart = chart_of(rows, x, y, by, self._wording)
        if not chart.numbers:
            return self._nothing(title, note)
        drawn = lines_svg(
            chart, rows.column(x), self._wording, label=f"{title}. {note}", width=_width(half), height=height
        )
        return _figure(title, note, drawn)

    def columns(
        self,
        rows: Rows,
        x: str,
        y: str | Sequence[str],
        *,
        by: str | None = None,
        title: str,
        note: str = "",
        half: bool = False,
        height: float = 210,
        stacked: bool = True,
    ) -> Markup:
        """Upright columns; several series are stacked, or with stacked=False side by side."""
        chart = chart_of(rows, x, y, by, self._wording)
        if not chart.numbers:
            return self._nothing(title, note)
        drawn = columns_svg(
            chart,
            rows.column(x),
            self._wording,
            label=f"{title}. {note}",
            width=_width(half),
            height=height,
            stacked=stacked,
        )
        return _figure(title, note, drawn)

    def bars(
        self, rows: Rows, name: str, value: str, *, title: str, note: str = "", half: bool = False, limit: int = 20
    ) -> Markup:
        """Bars with a name each, in the rows' order."""
        found = [
            Bar(self._wording.cell(row[name], rows.column(name)), number, self._value(row[value], rows.column(value)))
            for row in list(rows)[:limit]
            if (number := number_of(row[value])) is not None
        ]
        if not found:
            return self._nothing(title, note)
        return _figure(title, note, bars_svg(found, label=f"{title}. {note}", width=_width(half)))

    def sparkline(self, rows: Rows, value: str, *, label: str = "") -> Markup:
        """A small line without an axis, for a line of text."""
        return _svg(sparkline_svg([number_of(row[value]) for row in rows], label=label))

    def image(self, path: str) -> Markup:
        """A picture of the report's folder, as an address that holds it: `<img src="{{ image('logo.png') }}">`."""
        kind = PICTURES.get(Path(path).suffix.lower())
        parts = tuple(path.split("/"))
        if kind is None or not all(part and not part.startswith(".") for part in parts):
            raise Reject(f"image({path[:80]!r}) is no picture of the report's folder: {', '.join(PICTURES)}.")
        data = self._folder.read(parts, _MOST_PICTURE_BYTES)
        return _svg(f"data:{kind};base64,{base64.b64encode(data).decode()}")

    def _value(self, value: Any, column: Shown) -> str:
        if column.declared.type == "money":
            digits = 2 if column.declared.digits is None else column.declared.digits
            return self._wording.money(value, column.declared.currency, digits)
        return self._wording.cell(value, column)

    def _nothing(self, title: str, note: str) -> Markup:
        return _figure(title, note, f'<p class="empty">{escape(self._words.no_rows)}</p>')


def _figure(title: str, note: str, content: str) -> Markup:
    said = f" <span>{escape(note)}</span>" if note else ""
    return _svg(f'<figure class="plot"><figcaption><b>{escape(title)}</b>{said}</figcaption>{content}</figure>')


def _svg(text: str) -> Markup:
    return Markup(text)


def _width(half: bool) -> float:
    return drawing.HALF_WIDTH if half else drawing.FULL_WIDTH
