"""report.toml: what a report is called, takes, reads and gives. The shapes and their rules; no file is read here.

Relies on pydantic, whose faults carry the place in the document, from which `reading` finds the line.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Format = Literal["pdf", "html", "xlsx", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
TABLES = "tables"
"""The source that is DuckDB over the report's own `[tables]`."""

_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_FILE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$"


def _text(value: Any) -> Any:
    """TOML has dates, numbers and truth values of its own; requests have texts. Both are read by the same rules."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if isinstance(value, str | list | dict) else str(value)


Name = Annotated[str, Field(pattern=_NAME)]
FileName = Annotated[str, Field(pattern=_FILE)]
Text = Annotated[str, BeforeValidator(_text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Part):
    """`[parameters.NAME]`: what a request may say. `default`, `choices`, `min` and `max` are written as it would."""

    type: Literal["date", "datetime", "int", "decimal", "text", "bool"]
    title: str | None = None
    default: Text | None = None
    optional: bool = False
    choices: tuple[Text, ...] = ()
    min: Text | None = None
    max: Text | None = None
    max_length: int = Field(default=200, ge=1, le=10_000)

    @model_validator(mode="after")
    def _fits_together(self) -> Parameter:
        if self.type in ("text", "bool") and (self.min is not None or self.max is not None):
            raise ValueError(f"a {self.type} has no min or max")
        return self


class Table(_Part):
    """`[tables.NAME]`: a topic, files, or a SELECT over the other tables, as a table of DuckDB.

    A topic is read from the parameter `start` (its begin, for a day) to `end` (its end, for a day, which is included).
    Its columns are fields of the payload and `_id`, `_time`, `_cause`, `_root`, `_key`, `_timestamp`, `_headers`.
    """

    topic: str | None = None
    columns: tuple[str, ...] = ("*", "_id", "_time", "_cause", "_root", "_key")
    start: Name | None = None
    end: Name | None = None
    parquet: str | None = None
    csv: str | None = None
    sql: FileName | None = None
    """A file with one SELECT over the tables above it; it takes no parameters."""
    optional: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> Table:
        if sum(value is not None for value in (self.topic, self.parquet, self.csv, self.sql)) != 1:
            raise ValueError("it needs one of topic, parquet, csv and sql")
        if self.topic is None and (self.start or self.end or self.optional):
            raise ValueError("start, end and optional belong to a topic")
        return self


class Query(_Part):
    """`[queries.NAME]`: one SELECT, from a file, for a named connection or for `tables`."""

    source: Name = TABLES
    file: FileName | None = None


class Column(_Part):
    """`[columns.NAME]`: how a column is called and written, wherever it comes up."""

    title: str | None = None
    type: Literal["text", "int", "decimal", "money", "percent", "date", "datetime", "bool"] | None = None
    digits: int | None = Field(default=None, ge=0, le=12)
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    width: float | None = Field(default=None, gt=0, le=120)
    """Characters, in spreadsheets."""


class Limits(_Part):
    """`[limits]`: what this report may take; the worker's own limits hold as well."""

    seconds: float = Field(default=300.0, gt=0)
    memory_mb: int = Field(default=1024, ge=64)
    page_rows: int = Field(default=1000, ge=1)
    """Rows of a query that a page may show; of the table further ones go into XLSX and CSV alone."""


class Csv(_Part):
    """`[csv]`.

    `guard` puts an apostrophe before texts that a spreadsheet would take for a formula; `bom` marks UTF-8.
    """

    guard: bool = True
    bom: bool = False


class Definition(_Part):
    """A whole report.toml."""

    title: str = Field(min_length=1, max_length=120)
    description: str = ""
    formats: tuple[Format, ...] = Field(default=("pdf",), min_length=1)
    template: FileName | None = "report.html"
    table: Name | None = None
    """The query whose rows go into CSV and XLSX, all of them."""
    time_zone: str = "UTC"
    locale: str = "en"
    period: tuple[Name, ...] = Field(default=(), max_length=2)
    """Parameters that say from when to when it is about."""
    parameters: dict[Name, Parameter] = {}
    tables: dict[Name, Table] = {}
    queries: dict[Name, Query] = Field(min_length=1)
    columns: dict[str, Column] = {}
    limits: Limits = Limits()
    csv: Csv = Csv()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such time zone; expected a name such as Europe/Berlin") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """Whose days are meant."""
        return ZoneInfo(self.time_zone)

    def file_of(self, query: str) -> str:
        """Name of the file of a query."""
        return self.queries[query].file or f"{query}.sql"
