"""The rows of a query as a page sees them: the first of them, and how many there were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from streams.report.columns import Cell, Shown
from tidemill.errors import Reject


class Rows:
    """What a query gave, for templates: `for row in rows`, `row.revenue`, `rows|length`, `rows.total("revenue")`,
    `rows.where("region", "North")`.

    Args:
        query: Name of the query.
        columns: Its columns.
        rows: The rows that are kept.
        count: How many there were in all.
    """

    def __init__(self, query: str, columns: Sequence[Shown], rows: Sequence[Sequence[Cell]], count: int) -> None:
        self.query = query
        self.columns = tuple(columns)
        self.values = rows
        self.count = count
        self._index = {column.name: index for index, column in enumerate(columns)}

    @property
    def is_cut(self) -> bool:
        """Whether there were more rows than are kept."""
        return self.count > len(self.values)

    @property
    def first(self) -> Row:
        """The first row.

        Raises:
            Reject: There is none.
        """
        if not self.values:
            raise Reject(f"The query {self.query!r} gave no rows, and the page asks for the first.")
        return Row(self, self.values[0])

    def column(self, name: str) -> Shown:
        """A column by its name.

        Raises:
            Reject: There is no such column.
        """
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """The place of a column; raises as `column`."""
        index = self._index.get(name)
        if index is None:
            there = ", ".join(self._index)
            raise Reject(f"The query {self.query!r} has no column {str(name)[:80]!r}; there are: {there}.")
        return index

    def total(self, name: str) -> Any:
        """The sum of a column over all rows that are kept; missing values count as nothing.

        Raises:
            Reject: There is no such column, it holds no numbers, or not all rows are kept.
        """
        if self.is_cut:
            raise Reject(
                f"The query {self.query!r} has {self.count:,} rows, of which the page has {len(self.values):,}:"
                f" a sum of {name!r} over these would be wrong.",
                hint="Sum in a query of its own.",
            )
        index = self.index(name)
        sums = [row[index] for row in self.values if row[index] is not None]
        numbers = [value for value in sums if isinstance(value, int | float | Decimal) and not isinstance(value, bool)]
        if len(numbers) < len(sums):
            raise Reject(f"The column {name!r} of {self.query!r} holds no numbers, and can't be summed.")
        if any(isinstance(value, float) for value in numbers):
            return sum(map(float, numbers))
        return sum(numbers)

    def where(self, name: str, value: Cell) -> Rows:
        """The rows that have a value in a column, e.g. for a plot of each region.

        Args:
            name: The column.
            value: What stands there.

        Raises:
            Reject: There is no such column, or not all rows are kept.
        """
        index = self.index(name)
        if self.is_cut:
            raise Reject(
                f"The query {self.query!r} has {self.count:,} rows, of which the page has {len(self.values):,}:"
                f" some of those with {name} = {value!r:.80} would be missing.",
                hint="Raise page_rows in [limits], or choose them in a query of their own.",
            )
        found = [row for row in self.values if row[index] == value]
        return Rows(self.query, self.columns, found, len(found))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Row]:
        return (Row(self, values) for values in self.values)


class Row:
    """One row: `row.revenue` or `row["revenue"]`."""

    __slots__ = ("_rows", "_values")

    def __init__(self, rows: Rows, values: Sequence[Cell]) -> None:
        self._rows = rows
        self._values = values

    def __getitem__(self, name: str) -> Cell:
        return self._values[self._rows.index(name)]

    def __getattr__(self, name: str) -> Cell:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]
