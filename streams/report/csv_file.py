"""CSV as RFC 4180 has it: commas, CRLF, quotes where needed, UTF-8, row by row.

A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV Injection"), unless the
report says that only programs read the file. Numbers and dates are written as programs read them, in no language.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.report.columns import Cell, Shown

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""The full-width ones as well: Excel takes them for the same in some languages."""


class CsvFile:
    """A file in the making.

    Args:
        path: Where it is written.
        guard: Whether texts that look like formulas are disarmed.
        bom: Whether it begins with a byte order mark, by which Excel knows UTF-8.
    """

    def __init__(self, path: Path, *, guard: bool, bom: bool) -> None:
        self._file = path.open("w", encoding="utf-8-sig" if bom else "utf-8", errors="replace", newline="")
        self._writer = csv.writer(self._file, lineterminator="\r\n")
        self._guard = guard

    def begin(self, columns: Sequence[Shown]) -> None:
        """Write the head."""
        self._writer.writerow([self._text(column.name) for column in columns])

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write some rows."""
        self._writer.writerows([self._field(value) for value in row] for row in rows)

    def _field(self, value: Cell) -> str:
        match value:
            case str():
                return self._text(value)
            case None:
                return ""
            case bool():
                return "true" if value else "false"
            case Decimal():
                return format(value, "f")
            case float():
                return repr(value)
            case datetime() | date():
                return value.isoformat()
        return str(value)

    def _text(self, value: str) -> str:
        return f"'{value}" if self._guard and value.startswith(FORMULA_SIGNS) else value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
