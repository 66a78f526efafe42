"""A table's name as people write it in SQL, taken apart. Pure text: nothing of it reaches a database unquoted."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = r'"((?:[^"\x00]|"")+)"|([A-Za-z_][A-Za-z0-9_$]*)'
_NAME = re.compile(rf"(?:(?:{_PART})\.)?(?:{_PART})")


@dataclass(frozen=True)
class TableName:
    """Schema (None: where the connection looks first) and table, without quotes."""

    schema: str | None
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read `table`, `schema.table`, or either in double quotes.

        Letters keep their case, as in the catalogue of the database.

        Raises:
            ValueError: It is something else; the message says what is expected.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise ValueError('expected a table or schema.table; other than letters, digits and _ goes in "quotes"')
        quoted_schema, schema, quoted_table, table = match.groups()
        return cls(_unquoted(quoted_schema) or schema, _unquoted(quoted_table) or table)

    def __str__(self) -> str:
        return self.table if self.schema is None else f"{self.schema}.{self.table}"


def _unquoted(text: str | None) -> str | None:
    return None if text is None else text.replace('""', '"')
