"""The named binds of a query: `:name` outside of strings, quoted names and comments.

Computes only. A value is never put into the text of a query: the text is cut at its binds, and each database gets them
in its own way (`:name` for SQLAlchemy's `text`, `$name` for DuckDB).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SKIPPED = r"""
    '(?:[^']|'')*'            # a string
  | "(?:[^"]|"")*"            # a quoted name
  | `[^`]*`                   # a quoted name, MySQL
  | --[^\n]*                  # a comment
  | /\*.*?\*/                 # a comment
  | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$   # a string, PostgreSQL
  | ::                        # a cast
"""
_TOKEN = re.compile(rf"(?P<skipped>{_SKIPPED})|:(?P<bind>[A-Za-z_][A-Za-z0-9_]*)", re.VERBOSE | re.DOTALL)
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*([A-Za-z]+)", re.DOTALL)
READING_WORDS = ("select", "with", "values", "from")
"""How statements that read begin; `FROM t SELECT` is DuckDB's."""


@dataclass(frozen=True)
class Bind:
    """One use of a parameter; `line` counts from 1."""

    name: str
    start: int
    end: int
    line: int


def binds_of(sql: str) -> list[Bind]:
    """The binds of a query, in their order."""
    return [
        Bind(match["bind"], match.start(), match.end(), sql.count("\n", 0, match.start()) + 1)
        for match in _TOKEN.finditer(sql)
        if match["bind"] is not None
    ]


def for_sqlalchemy(sql: str) -> str:
    """The query as `sqlalchemy.text` reads it.

    Colons that are no binds are escaped, since it looks into strings too.
    """
    pieces, end = [], 0
    for bind in binds_of(sql):
        pieces += [_escaped(sql[end : bind.start]), f":{bind.name}"]
        end = bind.end
    return "".join([*pieces, _escaped(sql[end:])])


def for_duckdb(sql: str) -> str:
    """The query with DuckDB's binds."""
    pieces, end = [], 0
    for bind in binds_of(sql):
        pieces += [sql[end : bind.start], f"${bind.name}"]
        end = bind.end
    return "".join([*pieces, sql[end:]])


def fault_of(sql: str) -> str | None:
    """Why a text is no single statement that reads; None where it looks like one.

    A first look, which gives a good message: what holds is the read-only transaction.
    """
    bare = _TOKEN.sub(lambda match: " " if match["skipped"] and match["skipped"] != "::" else match[0], sql)
    if not (word := _FIRST_WORD.match(bare)):
        return "holds no statement"
    if word[1].lower() not in READING_WORDS:
        return f"begins with {word[1].upper()}, expected SELECT or WITH: reports only read"
    if ";" in bare.rstrip().rstrip(";"):
        return "holds several statements, expected one"
    return None


def _escaped(text: str) -> str:
    # `::` stays: SQLAlchemy knows casts, and an escaped one would lose its meaning to it.
    return re.sub(r"(?<!:):(?!:)", r"\\:", text)
