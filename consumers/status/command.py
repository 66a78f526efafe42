"""Commands of the table of jobs, by the entry point `tidemill.commands`: `tracker` keeps it, `jobs` and `job` ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json
from tidemill.jobs.state import State

if TYPE_CHECKING:
    from rich.progress import Progress

    from tidemill.jobs import Jobs, JobStatus

TRACKER_EPILOG = """
\b
Examples:
  tidemill tracker               keep the table of jobs, until Ctrl-C
  tidemill tracker rebuild       make it anew from the topics; trackers may run meanwhile

\b
Run two or more: they share the work, and each takes over what another one leaves.
The table is state_dir/status.db, or where TIDEMILL_STATUS_URL says (Postgres for more than one machine).
"""
REBUILD_EPILOG = """
\b
Examples:
  tidemill tracker rebuild
  tidemill tracker rebuild --forget      and drop the jobs that the topics hold no more
"""
JOBS_EPILOG = """
\b
Examples:
  tidemill jobs                                  the 20 to which something happened last
  tidemill jobs --state failed --since 1h
  tidemill jobs --state running --state waiting
  tidemill jobs --type image.requested --json | jq -r '.[].id'
"""
JOB_EPILOG = """
\b
Examples:
  tidemill job 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f
  tidemill job 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --follow && echo done
  tidemill job 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --json | jq '.results[].payload'

\b
Exit status: 0 if the job is known; 5 if it isn't.
With --follow: 0 if it is done, 1 if it has failed or was given up, 130 on Ctrl-C.
"""
NONE = 5
"""Exit status where there is nothing of that name; as `tidemill delayed show`."""

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]

tracker_app = typer.Typer(
    help="Keeps the table of jobs: folds all topics into where each job is.",
    rich_markup_mode=None,
    epilog=TRACKER_EPILOG,
    invoke_without_command=True,
)


@tracker_app.callback()
@command
def tracker(context: typer.Context) -> None:
    """Run the tracker: folds what topics tell into the table of jobs."""
    if context.invoked_subcommand is not None:
        return
    from consumers.status.tracker import Tracker
    from tidemill.config import load_settings
    from tidemill.service import collect_seldom, until_told
    from tidemill.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    running = Tracker(settings)
    until_told(running.stop)
    collect_seldom()
    running.run()


@tracker_app.command(epilog=REBUILD_EPILOG)
@command
def rebuild(
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the jobs that the topics hold no more, instead of keeping them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the table of jobs anew from the topics, and exchange it in one go."""
    from dataclasses import asdict

    from consumers.status.rebuild import rebuild as run
    from tidemill.config import load_settings

    with _bar() as bar:
        task = bar.add_task("reading the topics", total=None)
        rebuilt = run(
            load_settings(), forget=forget, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if as_json:
        print_json(asdict(rebuilt))
        return
    rate = rebuilt.messages / rebuilt.seconds if rebuilt.seconds else 0.0
    out.print(
        f"[green]✓[/] {rebuilt.jobs:,} jobs from {rebuilt.messages:,} messages in {rebuilt.seconds:.1f} s "
        f"({rate:,.0f}/s); {rebuilt.before:,} were there before"
    )
    if rebuilt.kept:
        out.print(f"  {rebuilt.kept:,} of them are not in the topics any more, and were kept (--forget drops them)")
    if rebuilt.undecoded:
        err.print(f"{rebuilt.undecoded:,} messages could not be decoded: only their envelopes count.")


@command
def jobs(
    state: Annotated[
        list[State] | None,
        typer.Option(help="Only jobs of this state; may be repeated.", case_sensitive=False),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only jobs that began with an event of this type.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only those that changed since, e.g. 90s, 15m, 6h, 7d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Jobs and where they are, those that changed last first."""
    age = _age(since)
    with _opened() as opened:
        found = opened.listed(
            states=state or (),
            type=type_,
            since=None if age is None else datetime.now(UTC) - age,
            limit=limit,
        )
    if as_json:
        print_json([status.as_json() for status in found])
    elif not found:
        err.print("No such jobs.", markup=False)
    else:
        _print_table(found)


@command
def job(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job, or any event of it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show it until it is finished.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --follow a line per change.")] = False,
) -> None:
    """Where a job is: the tree of its events, progress, results, and why it has failed."""
    from consumers.status.follow import MOST_EVENTS, follow_lines, follow_live, job_json
    from consumers.status.job_view import job_view

    with _opened() as opened:
        named = opened.job_of(job_id) or job_id
        if named != job_id:
            err.print(f"{job_id} is an event of job {named}.", markup=False, soft_wrap=True)
        if follow:
            is_live = out.is_terminal and not as_json
            status = follow_live(opened, named) if is_live else follow_lines(opened, named, as_json=as_json)
            if status.state is not State.DONE:
                raise typer.Exit(1)
            return
        known = opened.status(named)
        events = opened.events(named, 1000 if as_json else MOST_EVENTS)
    if known is None:
        err.print(f"Nothing is known of job {job_id}.", markup=False, soft_wrap=True)
        err.print("It was never published, is too new or too old, or `tidemill tracker` doesn't run.", soft_wrap=True)
        raise typer.Exit(NONE)
    if as_json:
        print_json(job_json(known, events))
    else:
        out.print(job_view(known, events, datetime.now(UTC)))


def _print_table(found: list[JobStatus]) -> None:
    """Rows for people: ids in one piece, to be copied; the last column takes what room there is."""
    from rich.table import Table
    from rich.text import Text

    from consumers.status.job_view import detail_text, progress_text, span_text, state_text

    now = datetime.now(UTC)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("JOB", "TYPE", "STATE", "EVENTS", "CHANGED"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("EVENTS", "CHANGED") else "left")
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for status in found:
        told = progress_text(status.progress) if status.progress is not None else ""
        detail = ", ".join(filter(None, (told, detail_text(status.lead, now))))
        counts = f"{status.finished_events:,}/{status.events:,}" if status.events > 1 else "1"
        ago = f"{span_text((now - status.updated_at).total_seconds())} ago"
        table.add_row(
            Text(status.id), Text(status.type or "?"), state_text(status.state), counts, ago, Text(detail, "dim")
        )
    out.print(table)


def _age(text: str | None) -> timedelta | None:
    from tidemill.contracts.duration import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--since") from error


@contextmanager
def _opened() -> Iterator[Jobs]:
    from tidemill.config import load_settings
    from tidemill.jobs import Jobs

    opened = Jobs(load_settings())
    try:
        yield opened
    finally:
        opened.close()


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(tracker_app, name="tracker")
    app.command(epilog=JOBS_EPILOG)(jobs)
    app.command(epilog=JOB_EPILOG)(job)
