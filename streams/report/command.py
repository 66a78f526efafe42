"""`tidemill report`: see the reports there are, make one here, find their faults, ask the stream for one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from streams.report.jobs import ReportJob
    from streams.report.settings import ReportSettings
    from tidemill.events import ReportReady

app = typer.Typer(no_args_is_help=True, help="See, make and check reports; ask the stream for one.")

RENDER_EPILOG = """
\b
Examples:
  tidemill report render sales --format pdf
  tidemill report render sales --param from=2026-01-01 --param region=North --format xlsx --out files/
  tidemill report render daily-activity --param day=yesterday --locale de

\b
Needs no worker; topics are read where the report has some.
"""
REQUEST_EPILOG = """
\b
Examples:
  tidemill report request sales --format pdf --format xlsx --tell ada@example.com
  tidemill report request daily-activity --param day=2026-11-23

\b
A worker must run: tidemill worker report
"""
Folder = Annotated[Path | None, typer.Option("--reports", help="Folder; default: TIDEMILL_REPORT_FOLDER.")]
Name = Annotated[str, typer.Argument(help="Name of the report.")]
Parameters = Annotated[list[str] | None, typer.Option("--param", help="NAME=VALUE; may be given several times.")]
Formats = Annotated[list[str] | None, typer.Option("--format", help="pdf, html, xlsx or csv; default: all it has.")]
Locale = Annotated[str | None, typer.Option(help="Language and region, e.g. de or pt-BR.")]
Title = Annotated[str | None, typer.Option(help="Title instead of the report's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("list")
@command
def list_(reports: Folder = None, as_json: AsJson = False) -> None:
    """All reports of the folder."""
    from streams.report.folder import examine, names

    settings = _settings(reports)
    rows = []
    for name in names(settings.folder):
        report, faults = examine(settings.folder / name)
        rows.append(
            {
                "report": name,
                "title": report.definition.title if report else "",
                "formats": ", ".join(report.definition.formats) if report else "",
                "parameters": ", ".join(report.definition.parameters) if report else "",
                "faults": len(faults) or "",
            }
        )
    columns = {"report": "", "title": "title", "formats": "formats", "parameters": "parameters", "faults": "faults"}
    print_rows(rows, columns, as_json=as_json, empty=f"There are no reports in {settings.folder}.")


@app.command()
@command
def show(name: Name, reports: Folder = None, as_json: AsJson = False) -> None:
    """What a report takes, reads and gives."""
    from streams.report.folder import load

    report = load(_settings(reports).folder, name)
    definition = report.definition
    if as_json:
        print_json(definition.model_dump(mode="json"))
        return
    out.print(definition.title, style="bold", markup=False)
    if definition.description:
        out.print(definition.description, markup=False)
    out.print(f"formats  {', '.join(definition.formats)}\nqueries  {', '.join(definition.queries)}\n", markup=False)
    rows = [
        {
            "name": key,
            "type": parameter.type,
            "default": parameter.default if parameter.default is not None else "",
            "allowed": ", ".join(parameter.choices) or " to ".join(filter(None, (parameter.min, parameter.max))),
        }
        for key, parameter in definition.parameters.items()
    ]
    columns = {"name": "parameter", "type": "type", "default": "default", "allowed": "allowed"}
    print_rows(rows, columns, as_json=False, empty="It takes no parameters.")


@app.command(epilog=RENDER_EPILOG)
@command
def render(
    name: Name,
    param: Parameters = None,
    format_: Formats = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    locale: Locale = None,
    title: Title = None,
    at: Annotated[datetime | None, typer.Option(help="Moment that it is made for, UTC; default: now.")] = None,
    reports: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Make a report here, for its author: no worker, no store."""
    import shutil
    import time
    from datetime import UTC

    from streams.report.making import make
    from streams.report.scratch import scratch_folder
    from streams.report.topic_tables import TopicTables
    from tidemill.config import load_settings

    settings = _settings(reports)
    request = _request(name, param, format_, locale=locale, title=title)
    moment = at.replace(tzinfo=UTC) if at is not None else datetime.now(UTC)
    started = time.monotonic()
    out_dir.mkdir(parents=True, exist_ok=True)
    topics = TopicTables(load_settings(), settings.max_topic_events)
    with scratch_folder() as folder, err.status(f"making {name}", spinner="dots") as status:

        def progress(
            done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
        ) -> None:
            status.update(_said(done, total, unit, note))

        made = make(request, folder, at=moment, settings=settings, topics=topics, progress=progress)
        files = []
        for file in made.files:
            shutil.copyfile(file.path, out_dir / file.name)
            size = (out_dir / file.name).stat().st_size
            files.append({"file": str(out_dir / file.name), "bytes": size, "pages": file.pages})
    seconds = time.monotonic() - started
    notes = [*made.notes, *topics.notes()]
    if as_json:
        print_json({"files": files, "rows": made.rows, "parameters": made.parameters, "notes": notes})
        return
    for each in files:
        pages = f", {each['pages']} pages" if each["pages"] else ""
        out.print(f"{float(str(each['bytes'])) / 1000:9,.1f} kB  {each['file']}{pages}", markup=False, soft_wrap=True)
    err.print(f"{made.rows:,} rows in {seconds:.2f} s", markup=False)
    for note in notes:
        err.print(note, markup=False, soft_wrap=True)


@app.command()
@command
def lint(
    names: Annotated[list[str] | None, typer.Argument(help="Reports; default: all.")] = None,
    reports: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Find all faults of reports: definitions, queries, pages. Runs no query. Exit status 1 where there is one."""
    from streams.report.folder import names as names_of
    from streams.report.lint import lint as faults_of
    from tidemill.errors import Reject

    folder = _settings(reports).folder
    there = names_of(folder)
    if unknown := sorted(set(names or ()) - set(there)):
        raise Reject(f"There is no report {', '.join(unknown)} in {folder}.", hint=f"There are: {', '.join(there)}.")
    found = [
        {"place": f"{name}/{fault.file}{f':{fault.line}' if fault.line else ''}", "message": fault.message}
        for name in names or there
        for fault in faults_of(folder / name)
    ]
    count = len(names or there)
    empty = f"{count} report{'' if count == 1 else 's'}, no faults." if count else f"There are no reports in {folder}."
    print_rows(found, {"place": "file", "message": "what was found"}, as_json=as_json, empty=empty)
    raise typer.Exit(1 if found or not count else 0)


@app.command(epilog=REQUEST_EPILOG)
@command
def request(
    name: Name,
    param: Parameters = None,
    format_: Formats = None,
    tell: Annotated[list[str] | None, typer.Option(help="Who gets a mail; may be given several times.")] = None,
    user: Annotated[str | None, typer.Option(help="Who gets a notification.")] = None,
    locale: Locale = None,
    title: Title = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest silence, seconds.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Ask the stream for a report, and follow it until it is ready."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from streams.report.jobs import ReportJobs
    from tidemill.codec import Codec
    from tidemill.config import load_settings
    from tidemill.contracts.registry import Registry
    from tidemill.publisher import Publisher
    from tidemill.tail import Tail

    asked = _request(name, param, format_, locale=locale, title=title, tell=tell or [], user=user)
    settings = load_settings()
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, transient=True)
    with (
        Registry(settings) as registry,
        Tail(settings, ReportJobs.TOPICS) as tail,
        Publisher(settings, codec=(codec := Codec(registry))) as publisher,
        bar,
    ):
        jobs = ReportJobs(publisher, codec, tail)
        job = jobs.submit(asked)
        publisher.flush()
        task = bar.add_task("waiting for a worker", total=None)
        for step in jobs.follow(job, timeout):
            if (found := step.progress) is not None:
                said = _said(found.done, found.total, found.unit, found.note)
                bar.update(task, description=said, completed=found.done or 0, total=found.total)
    _show(job, timeout, as_json=as_json)
    raise typer.Exit(0 if job.result is not None else 1)


def register(commands: typer.Typer) -> None:
    """Add the commands to `tidemill`; the entry point `tidemill.commands`."""
    commands.add_typer(app, name="report")


def _settings(reports: Path | None) -> ReportSettings:
    from streams.report.settings import load_report_settings

    return load_report_settings(**({"folder": reports} if reports else {}))


def _request(name: str, param: list[str] | None, formats: list[str] | None, **more: Any) -> Any:
    from streams.report.definition import FORMATS
    from tidemill.errors import Reject
    from tidemill.events import ReportRequested

    parameters = {}
    for text in param or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise Reject(f"--param {text!r} is no NAME=VALUE.")
        parameters[key] = value
    if wrong := [each for each in formats or [] if each not in FORMATS]:
        raise Reject(f"--format {wrong[0]!r} is none of {', '.join(FORMATS)}.")
    return ReportRequested(report=name, parameters=parameters, formats=formats or [], **more)  # type: ignore[arg-type]


def _said(done: int | None, total: int | None, unit: str | None, note: str | None) -> str:
    of = f" of {total:,}" if total is not None else ""
    count = f"{done:,}{of} {unit or ''}".strip() if done is not None else ""
    return ", ".join(filter(None, (note, count))) or "at work"


def _show(job: ReportJob, timeout: float, *, as_json: bool) -> None:
    from dataclasses import asdict

    result: ReportReady | None = job.result
    if as_json:
        print_json({"id": job.id, "result": asdict(result) if result else None, "failure": job.failure})
    elif result is not None:
        for file in result.files:
            pages = f", {file.pages} pages" if file.pages else ""
            out.print(f"[green]✓[/] {file.bytes / 1000:9,.1f} kB  ", end="")
            out.print(f"{file.uri}{pages}", markup=False, soft_wrap=True)
        err.print(f"{result.rows:,} rows in {result.seconds:.2f} s", markup=False)
        for note in result.notes:
            err.print(note, markup=False, soft_wrap=True)
    elif job.failure is not None:
        out.print("[red]✗[/] ", end="")
        out.print(job.failure, markup=False, soft_wrap=True)
    else:
        err.print(f"[red]✗[/] nothing was heard of it for {timeout:g} s.")
        err.print(
            "[bold]next:[/]  Is a worker running? `tidemill worker report` starts one; nothing is lost meanwhile."
        )
