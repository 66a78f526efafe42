"""`tidemill schedule`: look at periodic jobs, put a schedule into force, and ask why something ran or didn't."""

from __future__ import annotations

import getpass
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.schedule_tables import (
    CHANGE_COLUMNS,
    CHECK_COLUMNS,
    LIST_COLUMNS,
    change_row,
    list_row,
    span_text,
    timing_row,
    utc_text,
)
from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.jobs.job import Job
    from scheduler.ticks.books import Books, Page, Pause
    from tidemill.config import Settings

app = typer.Typer(help="Periodic jobs: check, apply, list, next, explain, run, pause, resume.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a job.")]

EXIT_UNANSWERED = 3
"""No scheduler has answered in time; the request stays, and is honoured by the next one."""

CHECK_EPILOG = """
\b
Examples:
  tidemill schedule check jobs.toml     says everything that is wrong with it, with line numbers; needs no broker
"""
APPLY_EPILOG = """
\b
Examples:
  tidemill schedule apply jobs.toml --dry-run    what would change
  tidemill schedule apply jobs.toml              put it into force; jobs that it doesn't name are removed

\b
Times of a job whose schedule changes count from now on; nothing of the past is made up for under the new one.
"""
LIST_EPILOG = """
\b
Examples:
  tidemill schedule list
  tidemill schedule list --json | jq -r '.[] | select(.overdue) | .job'
"""
NEXT_EPILOG = """
\b
Examples:
  tidemill schedule next daily-report -n 10
  tidemill schedule next daily-report --from 2027-03-28T00:00:00
  tidemill schedule next daily-report --file jobs.toml     of a file that isn't applied
"""
EXPLAIN_EPILOG = """
\b
Examples:
  tidemill schedule explain daily-report                        its last scheduled time
  tidemill schedule explain daily-report 2026-11-24T07:00:00    a time in the job's own zone
  tidemill schedule explain daily-report 2026-11-24T06:00:00Z --json
"""
RUN_EPILOG = """
\b
Examples:
  tidemill schedule run daily-report     once, now, beside its schedule; its tick says manual
"""
PAUSE_EPILOG = """
\b
Examples:
  tidemill schedule pause daily-report --why "the warehouse moves"
  tidemill schedule resume daily-report
"""


@app.command(epilog=CHECK_EPILOG)
@command
def check(
    file: Annotated[Path, typer.Argument(help="Schedule, e.g. jobs.toml.", exists=True, dir_okay=False)],
    as_json: Json = False,
) -> None:
    """Check a schedule: every fault at once, with its line."""
    jobs = _jobs_of(file)
    now = datetime.now(UTC)
    rows = [timing_row(job, job.schedule.after(now)) for job in jobs]
    print_rows(rows, CHECK_COLUMNS, as_json=as_json, empty="The file holds no jobs.")
    if not as_json:
        out.print(f"[green]✓[/] {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}, no faults")


@app.command(epilog=APPLY_EPILOG)
@command
def apply(
    file: Annotated[Path, typer.Argument(help="Schedule, e.g. jobs.toml.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Put a schedule into force; running schedulers follow it at once."""
    from scheduler.ticks.applying import changes, put_in_force, read_books
    from tidemill.config import load_settings

    settings = load_settings()
    jobs = _jobs_of(file)
    found = changes(read_books(settings).pages, jobs, datetime.now(UTC), _me())
    if not dry_run:
        put_in_force(settings, found)
    print_rows(
        map(change_row, found), CHANGE_COLUMNS, as_json=as_json, empty="Nothing changes: it is in force already."
    )
    if found and not as_json:
        count = f"{len(found)} {'job' if len(found) == 1 else 'jobs'}"
        out.print(f"{count} would change" if dry_run else f"[green]✓[/] {count} changed")


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(as_json: Json = False) -> None:
    """The jobs in force: when each ran, how late, and when it runs next."""
    from tidemill.config import load_settings

    books = _books(load_settings())
    now = datetime.now(UTC)
    pages = [page for _, page in sorted(books.pages.items()) if page.definition is not None]
    rows = [list_row(page, now, for_people=not as_json) for page in pages]
    print_rows(
        rows,
        LIST_COLUMNS,
        as_json=as_json,
        empty="No jobs are in force. `tidemill schedule apply jobs.toml` puts some.",
    )
    if not as_json and (late := [row["job"] for row in rows if row["state"] == "overdue"]):
        err.print(f"{len(late)} overdue: is a scheduler running? `tidemill scheduler` starts one.", markup=False)


@app.command("next", epilog=NEXT_EPILOG)
@command
def next_(
    job: JobName,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="How many.")] = 5,
    start: Annotated[
        str | None, typer.Option("--from", help="From then on, ISO 8601; without a zone, the job's own. Default: now.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Take the job from this file.", exists=True, dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """The next times of a job."""
    from tidemill.config import load_settings

    if file is not None:
        found = _named({each.name: each for each in _jobs_of(file)}, job, f"in {file}")
    else:
        found = _page(_books(load_settings()), job).definition.job  # type: ignore[union-attr]
    moment = datetime.now(UTC) if start is None else _time(start, found)
    rows: list[dict[str, Any]] = []
    while len(rows) < count and (following := found.schedule.after(moment)) is not None:
        local = following.astimezone(found.schedule.zone)
        rows.append(
            {
                "local": f"{local:%a %Y-%m-%d %H:%M:%S %Z}",
                "utc": utc_text(following),
                "emitted": utc_text(found.due_at(following)),
                "in": span_text((following - datetime.now(UTC)).total_seconds()),
            }
        )
        moment = following
    columns = {
        "local": found.schedule.zone.key,
        "utc": "UTC",
        **({"emitted": "EMITTED"} if found.jitter else {}),
        "in": "IN",
    }
    print_rows(rows, columns, as_json=as_json, empty=f"{job} has no further times.")


@app.command(epilog=EXPLAIN_EPILOG)
@command
def explain(
    job: JobName,
    at: Annotated[
        str | None,
        typer.Argument(metavar="[TIME]", help="ISO 8601; without a zone, the job's own. Default: its last time."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Why a job ran at a time, or didn't."""
    from scheduler.ticks.explaining import explain as explained
    from tidemill.config import load_settings
    from tidemill.errors import ConfigError

    settings = load_settings()
    page = _page(_books(settings), job)
    assert page.definition is not None
    now = datetime.now(UTC)
    schedule = page.definition.job.schedule
    if at is None:
        asked = schedule.before(now)
        if asked is None:
            raise ConfigError(f"{job} has had no scheduled time yet.", hint=f"See `tidemill schedule next {job}`.")
    else:
        asked = _time(at, page.definition.job, keep_naive=True)
    found = explained(settings, page, asked, now)
    if as_json:
        said = {"job": job, "time": utc_text(found.asked), "verdict": found.verdict, "text": found.text}
        print_json({**said, **{name: _shown(value) for name, value in found.facts.items()}})
        return
    local = found.asked.astimezone(schedule.zone)
    out.print(f"[bold]{job}[/] at {local:%a %Y-%m-%d %H:%M:%S %Z} ({utc_text(found.asked)}): [bold]{found.verdict}[/]")
    out.print(found.text, markup=False)
    for name, value in found.facts.items():
        if value not in (None, ""):
            out.print(f"  {name.replace('_', ' '):<16}{_shown(value)}", markup=False, highlight=False)


@app.command(epilog=RUN_EPILOG)
@command
def run(
    job: JobName,
    timeout: Annotated[float, typer.Option(min=0, help="How long to wait for the scheduler's answer, seconds.")] = 15.0,
    as_json: Json = False,
) -> None:
    """Run a job once, now."""
    from scheduler.ticks.asking import ask_for_run
    from scheduler.ticks.books import RunRequest
    from tidemill.config import load_settings
    from tidemill.errors import BrokerError

    settings = load_settings()
    _page(_books(settings), job)
    request = RunRequest(uuid.uuid4().hex[:12], job, datetime.now(UTC), _me())
    answer = ask_for_run(settings, request, timeout)
    if answer is None:
        err.print(
            f"No scheduler has answered within {timeout:g} s. The request stays, and the next one honours it: "
            "start one with `tidemill scheduler`.",
            markup=False,
        )
        raise typer.Exit(EXIT_UNANSWERED)
    text, tick = answer
    if tick is None:
        raise BrokerError(f"The scheduler didn't run {job}: {text}.")
    if as_json:
        print_json({"job": job, "tick": tick})
    else:
        out.print(f"[green]✓[/] {job} runs: tick {tick}", highlight=False)


@app.command(epilog=PAUSE_EPILOG)
@command
def pause(
    job: JobName, why: Annotated[str, typer.Option(help="Shown by `list` and `explain`.")] = "", as_json: Json = False
) -> None:
    """Stop a job's ticks until it is resumed."""
    from scheduler.ticks.books import Pause

    def begun(page: Page, now: datetime) -> Pause | None:
        return page.pause if page.is_paused else Pause(now, None, _me(), why)

    _set_pause(job, begun, "paused", as_json)


@app.command(epilog=PAUSE_EPILOG)
@command
def resume(job: JobName, as_json: Json = False) -> None:
    """Let a paused job go on; times in the pause get no ticks."""
    from dataclasses import replace

    def ended(page: Page, now: datetime) -> Pause | None:
        lasting = page.pause
        return replace(lasting, end=now) if lasting is not None and lasting.end is None else lasting

    _set_pause(job, ended, "resumed", as_json)


def _shown(value: object) -> object:
    return utc_text(value) if isinstance(value, datetime) else value


def _set_pause(job: str, change: Callable[[Page, datetime], Pause | None], word: str, as_json: bool) -> None:
    from scheduler.ticks.applying import write
    from tidemill.config import load_settings

    settings = load_settings()
    page = _page(_books(settings), job)
    wanted = change(page, datetime.now(UTC))
    changed = wanted != page.pause
    if changed:
        write(settings, [(job, "pause", job, wanted)])
    if as_json:
        print_json({"job": job, "paused": wanted is not None and wanted.end is None, "changed": changed})
    else:
        out.print(f"[green]✓[/] {job} {word}" if changed else f"{job} is {word} already", highlight=False)


def _jobs_of(file: Path) -> Sequence[Job]:
    from scheduler.jobs.file import read_jobs
    from tidemill.contracts.catalogue import Catalogue, installed_events

    return read_jobs(file, Catalogue(installed_events()), datetime.now(UTC))


def _books(settings: Settings) -> Books:
    from scheduler.ticks.applying import read_books

    return read_books(settings)


def _page(books: Books, job: str) -> Page:
    page: Page = _named(
        {name: page for name, page in books.pages.items() if page.definition is not None}, job, "in force"
    )
    return page


def _named(known: dict[str, Any], name: str, where: str) -> Any:
    import difflib

    from tidemill.errors import ConfigError

    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    raise ConfigError(
        f"There is no job {name!r} {where}." + (f" Did you mean {near[0]!r}?" if near else ""),
        hint="`tidemill schedule list` shows the jobs in force.",
    )


def _time(text: str, job: Job, *, keep_naive: bool = False) -> datetime:
    from tidemill.errors import ConfigError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is not a time.", hint="Write it as 2026-11-24T07:00:00, with Z or +01:00 for a zone."
        ) from error
    return moment if moment.tzinfo or keep_naive else moment.replace(tzinfo=job.schedule.zone)


def _me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
