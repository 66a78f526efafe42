"""XLSX through XlsxWriter, row by row in constant memory: typed cells, and never a formula or a link.

Numbers that a double can't hold become texts, since a spreadsheet would silently change them (IEEE 754: 15 digits).
More rows than a sheet takes go onto further sheets. The same rows and moment give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import xlsxwriter

from streams.report.columns import Cell, Shown

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

SHEET_ROWS = 1_048_576
LONGEST_TEXT = 32_767
_EXACT_INT = 2**53
_EXACT_DIGITS = 15
_FIRST_DAY = date(1900, 3, 1)
"""Excel takes 1900 for a leap year, so that days before this one would be off by one."""
_FORBIDDEN_IN_NAMES = str.maketrans("[]:*?/\\", "       ")
_WIDEST, _NARROWEST = 60.0, 8.0
_LOOKED_AT_ROWS = 2000


class XlsxFile:
    """A workbook in the making: sheets one after the other, each filled from above.

    Args:
        path: Where it is written.
        scratch: Folder for what doesn't stay in memory.
        title: Of the document.
        made_at: The moment that it carries, aware.
    """

    def __init__(self, path: Path, scratch: Path, *, title: str, made_at: datetime) -> None:
        self._book = xlsxwriter.Workbook(
            path,
            {
                "constant_memory": True,
                "tmpdir": str(scratch),
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "nan_inf_to_errors": False,
            },
        )
        self._book.use_zip64()
        self._book.set_properties({"title": title, "created": made_at.astimezone(UTC).replace(tzinfo=None)})
        self._head = self._book.add_format({"bold": True, "bottom": 1, "valign": "top"})
        self._formats: dict[str, Format] = {}
        self._names: set[str] = set()
        self._sheet: _Sheet | None = None
        self._title = ""
        self._part = 1
        self.cut_texts = 0

    def begin(self, title: str, columns: Sequence[Shown]) -> None:
        """Start a sheet; what was added so far is finished."""
        self._title, self._columns, self._part = title, columns, 1
        self._open()

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write some rows onto the sheet, or onto a further one where it is full."""
        for row in rows:
            assert self._sheet is not None
            if self._sheet.next_row == SHEET_ROWS:
                self._part += 1
                self._open()
            sheet = self._sheet
            for index, value in enumerate(row):
                if value is not None:
                    self._write(sheet, index, value)
            sheet.next_row += 1

    def _open(self) -> None:
        self._finish()
        name = self._name(self._title if self._part == 1 else f"{self._title} ({self._part})")
        self._sheet = _Sheet(self._book.add_worksheet(name), self._columns)
        for index, column in enumerate(self._columns):
            self._sheet.sheet.write_string(0, index, column.title, self._head)
        self._sheet.sheet.freeze_panes(1, 0)

    def _write(self, sheet: _Sheet, index: int, value: Cell) -> None:
        at, row, column = sheet.sheet, sheet.next_row, sheet.columns[index].declared
        if row <= _LOOKED_AT_ROWS:
            sheet.look_at(index, value)
        match value:
            case bool():
                at.write_boolean(row, index, value)
            case int() if abs(value) <= _EXACT_INT:
                at.write_number(row, index, value, self._number_format(column.type, column.digits, column.currency, 0))
            case Decimal() if _is_exact(value):
                found = -int(value.as_tuple().exponent)
                digits = max(0, min(found, 8))
                style = self._number_format(column.type, column.digits, column.currency, digits)
                at.write_number(row, index, float(value), style)
            case float() if abs(value) < float("inf"):  # not for NaN either
                at.write_number(
                    row, index, value, self._number_format(column.type, column.digits, column.currency, None)
                )
            case datetime() if value.date() >= _FIRST_DAY:
                # Spreadsheets know no time zones: it is shown in the report's.
                at.write_datetime(row, index, value.replace(tzinfo=None), self._format("yyyy-mm-dd hh:mm:ss"))
            case date() if not isinstance(value, datetime) and value >= _FIRST_DAY:
                at.write_datetime(row, index, value, self._format("yyyy-mm-dd"))
            case Decimal():
                at.write_string(row, index, format(value, "f"))
            case date():
                at.write_string(row, index, value.isoformat())
            case _:
                at.write_string(row, index, self._text(str(value)))

    def _text(self, value: str) -> str:
        if len(value) <= LONGEST_TEXT:
            return value
        self.cut_texts += 1
        return value[: LONGEST_TEXT - 1] + "…"

    def _number_format(self, kind: str | None, digits: int | None, currency: str, found: int | None) -> Format | None:
        if kind == "percent":
            return self._format("0" + _fraction(1 if digits is None else digits) + "%")
        if kind == "money":
            return self._format(f'#,##0{_fraction(2 if digits is None else digits)} "{currency}"')
        if digits is None and found is None:
            return None
        return self._format("#,##0" + _fraction(digits if digits is not None else found or 0))

    def _format(self, pattern: str) -> Format:
        if pattern not in self._formats:
            self._formats[pattern] = self._book.add_format({"num_format": pattern, "valign": "top"})
        return self._formats[pattern]

    def _name(self, wanted: str) -> str:
        """A name that Excel takes: 31 characters, without some signs, none twice."""
        plain = wanted.translate(_FORBIDDEN_IN_NAMES).strip("' ")[:31] or "Sheet"
        name, number = plain, 2
        while name.lower() in self._names:
            name = f"{plain[:25]} ({number})"
            number += 1
        self._names.add(name.lower())
        return name

    def _finish(self) -> None:
        if self._sheet is not None:
            self._sheet.finish()

    def close(self) -> None:
        """Write the file."""
        self._finish()
        self._book.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            # Its parts lie in the scratch folder, which goes; only their handles are left.
            for sheet in self._book.worksheets():
                sheet.row_data_fh.close()


class _Sheet:
    """One sheet, and how wide its columns have to be."""

    def __init__(self, sheet: Worksheet, columns: Sequence[Shown]) -> None:
        self.sheet = sheet
        self.columns = columns
        self.next_row = 1
        self._widths = [float(len(column.title)) + 3 for column in columns]

    def look_at(self, index: int, value: Cell) -> None:
        """Make a column as wide as a value, within bounds."""
        match value:
            case datetime():
                width = 18.0
            case date():
                width = 11.0
            case float() | Decimal() | int():
                width = len(f"{value:,.2f}") + 3.0
            case _:
                width = len(str(value)) + 1.0
        self._widths[index] = max(self._widths[index], width)

    def finish(self) -> None:
        """Set the widths and the filter."""
        for index, (column, width) in enumerate(zip(self.columns, self._widths, strict=True)):
            fitting = min(max(width, _NARROWEST), _WIDEST)
            self.sheet.set_column(index, index, column.declared.width or fitting)
        if self.columns:
            self.sheet.autofilter(0, 0, max(1, self.next_row - 1), len(self.columns) - 1)


def _is_exact(value: Decimal) -> bool:
    return (
        value.is_finite() and len(value.normalize().as_tuple().digits) <= _EXACT_DIGITS and abs(value.adjusted()) < 300
    )


def _fraction(digits: int) -> str:
    return "." + "0" * digits if digits else ""
