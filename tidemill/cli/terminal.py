"""What every command shares about the terminal: how it fails, and tables that are also JSON.

Results go to standard output, everything else (progress, notes, errors) to standard error, so that output can be piped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from rich.table import Table

from tidemill.console import err, out, report
from tidemill.errors import TidemillError

__all__ = ["command", "err", "out", "print_json", "print_rows", "report"]

P = ParamSpec("P")
R = TypeVar("R")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the library's errors into a readable message and exit status 1, and Ctrl-C into 130."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TidemillError as error:
            report(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            err.print("interrupted")
            raise typer.Exit(130) from error

    return run


def print_json(value: object) -> None:
    """One JSON document on standard output; dates and the like become strings."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, empty: str) -> None:
    """Rows as a table for people or as a JSON array for programs.

    Args:
        rows: One mapping per row.
        columns: Key in the row -> heading, in order.
        as_json: JSON array instead of a table.
        empty: What to say on standard error when there are no rows.
    """
    rows = list(rows)
    if as_json:
        print_json(rows)
        return
    if not rows:
        err.print(empty, markup=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(key) is None else str(row[key]) for key in columns))
    out.print(table)
