"""A report's folder: report.toml, its queries, its page, its pictures. Found by name, read whole, all faults at once.

Must never read outside the folder: names of files are plain names, and links are not followed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streams.report.binds import binds_of, fault_of
from streams.report.definition import TABLES, Definition
from tidemill.errors import ConfigError, Reject

REPORT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFINITION = "report.toml"
NOW = "now"
"""The bind that is always there: the moment that the report is made for, the event's time."""
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong: where, and what was expected.

    `line` counts from 1; 0 where it concerns the whole file.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.message}"


@dataclass(frozen=True)
class Report:
    """A report as it lies in its folder; `queries` and `views` are the texts of queries and of tables, by name."""

    name: str
    folder: Path
    definition: Definition
    queries: dict[str, str] = field(repr=False)
    views: dict[str, str] = field(repr=False)


def names(folder: Path) -> list[str]:
    """The reports of a folder, in alphabetical order.

    Raises:
        ConfigError: There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"The folder of reports {str(folder)!r} isn't there.",
            hint="Set TIDEMILL_REPORT_FOLDER to the folder; examples/reports is one to begin with.",
        )
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if REPORT_NAME.fullmatch(entry.name) and entry.is_dir() and Path(entry.path, DEFINITION).is_file()
    )


def load(folder: Path, name: str) -> Report:
    """The report of a name.

    Args:
        folder: Of all reports.
        name: As a request says it, so it may be anything.

    Raises:
        Reject: There is no such report, or its folder has faults: all are named.
        ConfigError: There is no such folder.
    """
    there = names(folder)
    if name not in there:
        shown = repr(name if len(name) <= 80 else name[:77] + "...")
        raise Reject(f"There is no report {shown} in {folder}.", hint=f"There are: {', '.join(there) or 'none'}.")
    report, faults = examine(folder / name)
    if report is None or faults:
        raise Reject(
            f"The report {name!r} can't be used: {'; '.join(map(str, faults))}.",
            hint="Mend it; `tidemill report lint` shows all faults.",
        )
    return report


def examine(folder: Path) -> tuple[Report | None, list[Fault]]:
    """Read a report's folder; None where its report.toml can't be read at all."""
    text, faults = _read(folder, DEFINITION)
    if text is None:
        return None, faults
    try:
        document = tomllib.loads(text, parse_float=Decimal)
        definition = Definition.model_validate(document)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        return None, [Fault(DEFINITION, int(line[1]) if line else 0, str(error))]
    except ValidationError as error:
        return None, sorted(_fault(text, fault) for fault in error.errors())
    faults += (Fault(DEFINITION, line_of(text, place), message) for place, message in _references(definition))
    queries = {}
    for name in definition.queries:
        file = definition.file_of(name)
        sql, unread = _read(folder, file)
        faults += unread
        if sql is not None:
            queries[name] = sql
            faults += _query_faults(definition, file, sql)
    views = {}
    for name, table in definition.tables.items():
        if table.sql is not None:
            sql, unread = _read(folder, table.sql)
            faults += unread
            if sql is not None:
                views[name] = sql
                faults += _view_faults(table.sql, sql)
    if definition.template is not None and not (folder / definition.template).is_file():
        faults.append(Fault(DEFINITION, line_of(text, ("template",)), f"the page {definition.template} isn't there"))
    return Report(folder.name, folder, definition, queries, views), sorted(faults)


def line_of(text: str, place: tuple[Any, ...]) -> int:
    """The line of a TOML document that a key stands on; the nearest above it that there is, 0 without any.

    Args:
        text: The document.
        place: Keys from the outside in, e.g. `("parameters", "day", "type")`.
    """
    keys = [str(key) for key in place if not isinstance(key, int)]
    lines = text.splitlines()
    for depth in range(len(keys), 0, -1):
        for split in range(depth, -1, -1):
            table, inner = ".".join(keys[:split]), ".".join(keys[split:depth])
            inside = not table
            for number, line in enumerate(lines, 1):
                header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
                if header:
                    inside = header[1] == table
                    if inside and not inner:
                        return number
                elif inside and inner and re.match(rf"\s*{re.escape(inner)}\s*[=.]", line):
                    return number
    return 0


def _read(folder: Path, file: str) -> tuple[str | None, list[Fault]]:
    try:
        descriptor = os.open(folder / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as opened:
            text = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None, [Fault(file, 0, "isn't there")]
    except UnicodeDecodeError:
        return None, [Fault(file, 0, "isn't UTF-8")]
    except OSError as error:
        return None, [Fault(file, 0, f"can't be read: {error.strerror}")]
    if len(text) > _MOST_BYTES:
        return None, [Fault(file, 0, f"has more than {_MOST_BYTES:,} characters")]
    return text, []


def _fault(text: str, fault: Any) -> Fault:
    place = tuple(key for key in fault["loc"] if key != "[key]")
    message = fault["msg"].removeprefix("Value error, ")
    found = "" if fault["type"] in ("missing", "value_error") else f", found {fault['input']!r:.80}"
    where = ".".join(map(str, place))
    return Fault(DEFINITION, line_of(text, place), f"{where}: {message[:1].lower()}{message[1:]}{found}")


def _references(definition: Definition) -> Iterator[tuple[tuple[str, ...], str]]:
    if definition.table is not None and definition.table not in definition.queries:
        yield ("table",), f"table = {definition.table!r}, but there is no [queries.{definition.table}]"
    if "csv" in definition.formats and definition.table is None:
        yield ("formats",), "csv needs `table`, the query whose rows it holds"
    if definition.template is None and {"pdf", "html"} & set(definition.formats):
        yield ("formats",), "pdf and html need a template"
    for name in definition.period:
        if name not in definition.parameters or definition.parameters[name].type not in ("date", "datetime"):
            yield ("period",), f"period names {name!r}, which is no parameter of type date or datetime"
    if NOW in definition.parameters:
        yield ("parameters", NOW), "`now` is the moment that the report is made for, and can't be a parameter"
    for name, query in definition.queries.items():
        if query.source == TABLES and not definition.tables:
            yield ("queries", name), f"queries.{name} has no source, and there are no [tables]"
    for name, table in definition.tables.items():
        for bound in (table.start, table.end):
            if bound is not None and (
                bound not in definition.parameters or definition.parameters[bound].type not in ("date", "datetime")
            ):
                yield ("tables", name), f"tables.{name} names {bound!r}, which is no parameter of type date or datetime"


def _query_faults(definition: Definition, file: str, sql: str) -> Iterator[Fault]:
    if (fault := fault_of(sql)) is not None:
        yield Fault(file, 1, fault)
    for bind in binds_of(sql):
        if bind.name not in definition.parameters and bind.name != NOW:
            there = ", ".join([*definition.parameters, NOW])
            yield Fault(file, bind.line, f":{bind.name} is no parameter of this report; there are: {there}")


def _view_faults(file: str, sql: str) -> Iterator[Fault]:
    if (fault := fault_of(sql)) is not None:
        yield Fault(file, 1, fault)
    for bind in binds_of(sql):
        yield Fault(file, bind.line, f"a table takes no parameters, found :{bind.name}; queries do")
