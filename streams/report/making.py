"""From a request to files in a folder: parameters, queries, then each format. Without Kafka and without the store.

Rows go through once, in batches, into all files that take them; only what a page shows is kept. Everything depends on
the request, the data and the moment it is made for, and nothing on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streams.report.columns import Cell, Shown, columns_of
from streams.report.csv_file import CsvFile
from streams.report.deadline import Deadline
from streams.report.definition import FORMATS, TABLES, Format
from streams.report.folder import NOW, Report, load
from streams.report.memory import memory_limit
from streams.report.page import PageContent, render_page
from streams.report.parameters import Value, as_text, resolve
from streams.report.pdf_file import write_pdf
from streams.report.rows import Rows
from streams.report.settings import ReportSettings, source_url
from streams.report.source import Source
from streams.report.xlsx_file import XlsxFile
from tidemill.errors import Reject
from tidemill.events import ReportRequested

if TYPE_CHECKING:
    from streams.report.duckdb_source import TopicReader

CONTENT_TYPES: Mapping[Format, str] = {
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
}


class Progress(Protocol):
    """Told how far a report is; may be called often."""

    def __call__(
        self, done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
    ) -> None: ...


@dataclass(frozen=True)
class MadeFile:
    """One file of a report, in the scratch folder; `name` is what a person would save it as."""

    format: Format
    name: str
    path: Path
    pages: int | None = None


@dataclass(frozen=True)
class Made:
    """A report that was made."""

    report: Report
    title: str
    values: Mapping[str, Value]
    files: Sequence[MadeFile]
    rows: int
    notes: Sequence[str]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters as texts; those without a value are left out."""
        return {name: as_text(value) for name, value in self.values.items() if value is not None}


def make(
    request: ReportRequested,
    folder: Path,
    *,
    at: datetime,
    settings: ReportSettings,
    topics: TopicReader,
    progress: Progress,
) -> Made:
    """Make the files of a report.

    Args:
        request: What is asked for.
        folder: Where files are made, and what doesn't stay in memory.
        at: The moment that it is made for, aware.
        settings: Where reports are, and limits.
        topics: Reads topics.
        progress: Told of rows and pages.

    Raises:
        Reject: The request can't be met; trying again doesn't help.
        HandlerTimeout: The queries took too long.
        TidemillError: A source doesn't answer (`retriable`).
    """
    report = load(settings.folder, request.report)
    definition = report.definition
    formats = formats_of(request, report)
    values: dict[str, Value] = resolve(definition.parameters, request.parameters, at, definition.zone)
    title = title_of(request, report)
    stem = f"{report.name}-{at.astimezone(definition.zone):%Y-%m-%d}"
    paths = {format: folder / f"{stem}.{format}" for format in formats}
    with memory_limit(min(definition.limits.memory_mb, settings.max_memory_mb)):
        run = _Run(report, {**values, NOW: at}, paths, folder, title, at, settings, topics, progress)
        results = run.queries()
        pages = None
        if {"pdf", "html"} & paths.keys():
            progress(note="laying out the page")
            locale = request.locale or definition.locale
            page = render_page(report, PageContent(title, at, locale, values, results))
            if "html" in paths:
                paths["html"].write_text(page, encoding="utf-8", errors="replace")
            if "pdf" in paths:
                pages = write_pdf(
                    page,
                    paths["pdf"],
                    title=title,
                    made_at=at,
                    progress=lambda done, total: progress(done, total, unit="pages", note="writing the PDF"),
                )
    files = [MadeFile(format, path.name, path, pages if format == "pdf" else None) for format, path in paths.items()]
    table = results.get(definition.table or "")
    rows = table.count if table is not None else sum(result.count for result in results.values())
    return Made(report, title, values, files, rows, run.notes)


def formats_of(request: ReportRequested, report: Report) -> tuple[Format, ...]:
    """The formats to make, each once, in the order asked for.

    Raises:
        Reject: The report doesn't have one.
    """
    wanted: tuple[Format, ...] = tuple(dict.fromkeys(request.formats)) or report.definition.formats
    if missing := [format for format in wanted if format not in report.definition.formats]:
        raise Reject(
            f"The report {report.name!r} isn't made as {', '.join(missing)}.",
            hint=f"It is made as {', '.join(f for f in FORMATS if f in report.definition.formats)}.",
        )
    return wanted


def title_of(request: ReportRequested, report: Report) -> str:
    """The report's title, on one line.

    Raises:
        Reject: The request's is too long, or has control characters.
    """
    title = report.definition.title if request.title is None else request.title
    if not title.strip() or len(title) > 200 or not title.isprintable():
        raise Reject(f"title {title[:80]!r} is no line of 1 to 200 printable characters.")
    return title


class _Run:
    """The queries of one report, and the files that take rows."""

    def __init__(
        self,
        report: Report,
        values: Mapping[str, Value],
        paths: Mapping[Format, Path],
        folder: Path,
        title: str,
        at: datetime,
        settings: ReportSettings,
        topics: TopicReader,
        progress: Progress,
    ) -> None:
        self.notes: list[str] = []
        self._report = report
        self._values = values
        self._paths = paths
        self._folder = folder
        self._title = title
        self._at = at
        self._settings = settings
        self._topics = topics
        self._progress = progress
        self._deadline = Deadline(min(report.definition.limits.seconds, settings.max_seconds))
        self._rows_done = 0

    def queries(self) -> dict[str, Rows]:
        """Run all queries that the formats need, the table first."""
        definition = self._report.definition
        names = list(definition.queries)
        if definition.table is not None:
            names.remove(definition.table)
            names.insert(0, definition.table)
        results = {}
        with ExitStack() as stack:
            sources: dict[str, Source] = {}
            xlsx = csv = None
            if "xlsx" in self._paths:
                xlsx = XlsxFile(self._paths["xlsx"], self._folder, title=self._title, made_at=self._at)
                stack.enter_context(xlsx)
            if "csv" in self._paths:
                csv = CsvFile(self._paths["csv"], guard=definition.csv.guard, bom=definition.csv.bom)
                stack.enter_context(csv)
            for name in names if set(self._paths) != {"csv"} else names[:1]:
                source = definition.queries[name].source
                if source not in sources:
                    sources[source] = self._open(source)
                    stack.callback(sources[source].close)
                results[name] = self._query(name, sources[source], xlsx, csv if name == definition.table else None)
        if xlsx is not None and xlsx.cut_texts:
            self.notes.append(f"{xlsx.cut_texts:,} texts are longer than a cell of a spreadsheet and were cut in it.")
        return results

    def _query(self, name: str, source: Source, xlsx: XlsxFile | None, csv: CsvFile | None) -> Rows:
        definition = self._report.definition
        result = source.run(self._report.queries[name], self._values)
        columns = columns_of(result.names, definition.columns, definition.zone)
        if xlsx is not None:
            xlsx.begin(name.replace("_", " ").capitalize(), columns)
        if csv is not None:
            csv.begin(columns)
        kept: list[Sequence[Cell]] = []
        most = min(definition.limits.page_rows, self._settings.max_page_rows)
        keeps = bool({"pdf", "html"} & self._paths.keys())
        count = 0
        for rows in _converted(result.batches, columns):
            count += len(rows)
            if count > self._settings.max_rows:
                raise Reject(
                    f"The query {name!r} gives more than {self._settings.max_rows:,} rows.",
                    hint="Ask for less, or raise TIDEMILL_REPORT_MAX_ROWS.",
                )
            if xlsx is not None:
                xlsx.add(rows)
            if csv is not None:
                csv.add(rows)
            if keeps and len(kept) < most:
                kept += rows[: most - len(kept)]
            self._rows_done += len(rows)
            self._progress(self._rows_done, unit="rows", note=f"query {name}")
        return Rows(name, columns, kept, count)

    def _open(self, name: str) -> Source:
        if name != TABLES:
            from streams.report.sql_source import SqlSource

            return SqlSource(name, source_url(name), self._deadline)
        from streams.report.duckdb_source import DuckDbSource

        definition = self._report.definition
        self._progress(self._rows_done, unit="rows", note="reading topics")
        return DuckDbSource(
            definition,
            self._report.folder,
            self._folder,
            views=self._report.views,
            values=self._values,
            # The other half is for what is made of the rows.
            memory_mb=min(definition.limits.memory_mb, self._settings.max_memory_mb) // 2,
            deadline=self._deadline,
            topics=self._topics,
        )


def _converted(batches: Iterator[Sequence[Sequence[object]]], columns: Sequence[Shown]) -> Iterator[list[list[Cell]]]:
    converters = [column.convert for column in columns]
    for batch in batches:
        yield [[convert(value) for convert, value in zip(converters, row, strict=True)] for row in batch]
