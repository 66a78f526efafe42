"""`tidemill archive`: archive topics, and what looks after the archive, by the entry point `tidemill.commands`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from consumers.archive.archiver import Round
    from consumers.archive.taking import Progress

EPILOG = """
\b
Examples:
  tidemill archive --all                             every 5 minutes, until Ctrl-C
  tidemill archive image.processed email.sent --every 30s
  tidemill archive --all --once                      to the end of the topics as it is now, e.g. from cron
  tidemill archive --all --dry-run                   what waits
  tidemill archive status                            files, lag, gaps
  tidemill archive compact --all                     small files of past days become few
  tidemill archive verify image.processed            every event against the topic

\b
Run two or more: they share the topics, and each takes over what another one leaves. The archive is the folder `archive`
of the object store, or where TIDEMILL_ARCHIVE_URL says. Each event is in it once, whatever is killed:
  duckdb -c "from read_parquet('archive/topic=image.processed/date=*/*.parquet', union_by_name = true)"
"""
RUN_EPILOG = """
\b
Examples:
  tidemill archive run --all --once
  tidemill archive run status        a topic whose name is that of a command

\b
Exit status of --once: 0 if all is archived, and nothing was lost before; 1 otherwise.
"""
STATUS_EPILOG = """
\b
Examples:
  tidemill archive status
  tidemill archive status image.processed --json | jq '.[].lag'

\b
Exit status: 0 if no event was lost, or is about to be, before it was archived; 1 otherwise.
"""
COMPACT_EPILOG = """
\b
Examples:
  tidemill archive compact --all --dry-run
  tidemill archive compact image.processed

\b
Days that are over are put together (UTC); archivers may run meanwhile. Who reads by glob in the moment of an exchange
sees fewer events, and never one twice; who reads by `replay.scan(..., archive=True)` sees all of them.
"""
VERIFY_EPILOG = """
\b
Examples:
  tidemill archive verify                      all that is archived
  tidemill archive verify image.processed --json
  tidemill archive verify --quick              the log and the names of the files alone

\b
Exit status: 0 if the archive is what the topic was, but for what the log says is lost; 1 otherwise.
"""


class TopicsOrCommand(TyperGroup):
    """`tidemill archive TOPIC` means `tidemill archive run TOPIC`, unless TOPIC is one of the commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=TopicsOrCommand,
    help="Topics into Parquet files of the object store, each event once. `archive TOPIC` is `archive run TOPIC`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
)
Topics = Annotated[list[str] | None, typer.Argument(metavar="TOPIC", help="Without the namespace.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command(epilog=RUN_EPILOG)
@command
def run(
    topics: Topics = None,
    all_: Annotated[
        bool, typer.Option("--all", help="The topics of all contracts, and their dead letters, as they come to be.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End when all is archived that is there now.")] = False,
    every: Annotated[str, typer.Option(metavar="AGE", help="How often, e.g. 30s, 5m, 1h.")] = "5m",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what waits, and archive nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Archive topics: what is new, again and again, or once."""
    from consumers.archive.archiver import Archiver
    from consumers.archive.settings import load_archive_settings
    from tidemill.config import load_settings
    from tidemill.service import collect_seldom, until_told
    from tidemill.telemetry import configure_logging

    named = _chosen(topics, all_)
    seconds = _seconds(every)
    settings = load_settings()
    archiver = Archiver(settings, load_archive_settings(), named)
    if dry_run:
        _show_waiting(archiver, as_json=as_json)
        return
    until_told(archiver.stop)
    collect_seldom()
    configure_logging(settings)
    if not once:
        archiver.names()  # a name that is wrong is said at once
        archiver.run(seconds)
        return
    _only_warnings()
    with _bar() as progress:
        done = archiver.once(progress)
    _show_round(done, archiver.lake.url, as_json=as_json)
    whole = all(each.complete for each in done.taken) and not done.failed and not done.held
    lost = any(each.gaps for each in done.taken)
    raise typer.Exit(0 if whole and not lost else 1)


@app.command(epilog=STATUS_EPILOG)
@command
def status(topics: Topics = None, as_json: Json = False) -> None:
    """What is archived of each topic, what waits, and what is lost or in danger."""
    from consumers.archive.settings import load_archive_settings
    from consumers.archive.status import archived_topics, read_status
    from tidemill.cli.replay_words import count_text, size_text
    from tidemill.config import load_settings
    from tidemill.replay.lake import Lake

    settings = load_settings()
    lake = Lake.from_settings(settings)
    found = read_status(settings, load_archive_settings(), lake, topics or archived_topics(settings, lake))
    if as_json:
        print_json([{**asdict(each), "lost": each.lost} for each in found])
    else:
        rows = [
            {
                "topic": each.topic,
                "files": f"{each.files:,}",
                "size": size_text(each.size_bytes),
                "events": f"{each.events:,}",
                "quarantined": f"{each.quarantined:,}",
                "lag": "no topic" if each.lag is None else f"{each.lag:,}",
                "newest": _age(each.newest_seconds),
                "lost": f"{each.lost:,}",
            }
            for each in found
        ]
        columns = {name: name.upper() for name in rows[0]} if rows else {}
        print_rows(rows, columns, as_json=False, empty=f"Nothing is archived in {lake.url}.")
        for each in found:
            for gap in each.gaps:
                err.print(f"{each.topic}, {gap}: deleted before they were archived.", markup=False, soft_wrap=True)
            for partition, why in each.danger.items():
                err.print(f"{each.topic}, partition {partition}: {why}.", markup=False, soft_wrap=True)
            if each.unpublished:
                files = count_text(each.unpublished, "file")
                err.print(f"{each.topic}: {files} committed and not published yet; the next archiver does it.")
    raise typer.Exit(1 if any(each.gaps or each.danger for each in found) else 0)


@app.command(epilog=COMPACT_EPILOG)
@command
def compact(
    topics: Topics = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are archived.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be put together.")] = False,
    as_json: Json = False,
) -> None:
    """Put the small files of past days together."""
    from consumers.archive.compacting import Compactor
    from consumers.archive.settings import load_archive_settings
    from tidemill.cli.replay_words import count_text, size_text
    from tidemill.config import load_settings
    from tidemill.service import until_told
    from tidemill.telemetry import configure_logging

    settings = load_settings()
    compactor = Compactor(settings, load_archive_settings(), _chosen(topics, all_))
    if not dry_run:
        configure_logging(settings)
        _only_warnings()
        until_told(compactor.stop)
    with _bar() as progress:
        found = compactor.look() if dry_run else compactor.run(progress)
    rows = [
        {"topic": each.topic, "bundles": each.bundles, "files": each.files, "bytes": each.size_bytes} for each in found
    ]
    if as_json:
        print_json(rows)
        return
    for each in filter(lambda each: each.bundles, found):
        files = f"{count_text(each.files, 'file')} ({size_text(each.size_bytes)})"
        would = "would become" if dry_run else "became"
        out.print(f"{each.topic}: {files} {would} about {each.bundles:,}", markup=False, soft_wrap=True)
    if not any(each.bundles for each in found):
        err.print("There is nothing to put together.")


@app.command(epilog=VERIFY_EPILOG)
@command
def verify(
    topics: Topics = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read neither files nor topics.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the archive with its log and with the topics, event by event."""
    from consumers.archive.status import archived_topics
    from consumers.archive.verification import verify as look
    from tidemill.cli.replay_words import count_text
    from tidemill.config import load_settings
    from tidemill.replay.lake import Lake

    settings = load_settings()
    lake = Lake.from_settings(settings)
    with _bar() as progress:
        found = [
            look(settings, lake, topic, quick=quick, progress=progress)
            for topic in topics or archived_topics(settings, lake)
        ]
    if as_json:
        print_json([{**asdict(each), "ok": each.ok} for each in found])
    for each in [] if as_json else found:
        mark = "[green]✓[/]" if each.ok else "[red]✗[/]"
        looked = count_text(each.entries, "commit")
        if not quick:
            inside = f"{count_text(each.files, 'file')} with {count_text(each.events, 'event')}"
            looked += f", {inside}, of which {each.compared:,} were compared with the topic"
        lost = f"; {each.lost:,} were lost before, as is recorded" if each.lost else ""
        out.print(f"{mark} {each.topic}: {looked}{lost}", soft_wrap=True)
        for problem in each.problems:
            err.print(f"  {problem}", markup=False, soft_wrap=True)
        if each.more:
            err.print(f"  and {each.more:,} more")
    if not found:
        err.print(f"Nothing is archived in {lake.url}.", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(each.ok for each in found) else 1)


def _chosen(topics: list[str] | None, all_: bool) -> list[str] | None:
    if bool(topics) == all_:
        raise typer.BadParameter(
            "Name topics, or give --all." if not topics else "Name topics or give --all, not both."
        )
    return topics or None


def _only_warnings() -> None:
    """The result is printed: the log would say it a second time."""
    logging.getLogger("tidemill").setLevel(logging.WARNING)


def _seconds(every: str) -> float:
    from tidemill.contracts.duration import parse_duration

    try:
        span = parse_duration(every)
    except ValueError as error:
        raise typer.BadParameter(f"{every!r}: {error}", param_hint="--every") from error
    if span is None:
        raise typer.BadParameter("It is to happen again: give a time, or --once.", param_hint="--every")
    return span.total_seconds()


def _show_waiting(archiver: Any, *, as_json: bool) -> None:
    found = archiver.look()
    rows = [
        {
            "topic": each.topic,
            "waits": each.offsets if as_json else f"{each.offsets:,}",
            "partitions": len(each.plan.ranges),
            "lost": each.lost if as_json else f"{each.lost:,}",
        }
        for each in found
    ]
    columns = {"topic": "TOPIC", "waits": "OFFSETS THAT WAIT", "partitions": "IN PARTITIONS", "lost": "LOST"}
    print_rows(rows, columns, as_json=as_json, empty="There is no topic to archive.")


def _show_round(done: Round, url: str, *, as_json: bool) -> None:
    from tidemill.cli.replay_words import count_text, size_text

    if as_json:
        print_json(
            {
                "archive": url,
                "topics": [asdict(each) for each in done.taken],
                "failed": {topic: str(error) for topic, error in done.failed.items()},
                "held": done.held,
            }
        )
        return
    new = [each for each in done.taken if each.commits]
    for each in new:
        parts = [count_text(each.events, "event"), count_text(each.files, "file"), size_text(each.size_bytes)]
        if each.quarantined:
            parts.append(f"{each.quarantined:,} can't be read, and are in quarantine")
        out.print(f"[green]✓[/] {each.topic}: {', '.join(parts)}", soft_wrap=True)
        for gap in each.gaps:
            err.print(f"  {gap} were deleted before they were archived.", markup=False, soft_wrap=True)
    if not new and not done.failed:
        err.print(f"Nothing is new in {len(done.taken):,} {'topic' if len(done.taken) == 1 else 'topics'}.")
    if any(not each.complete for each in done.taken):
        err.print("It was stopped before the end; the next one goes on there.")
    for topic, error in done.failed.items():
        err.print(f"{topic}: {error}", markup=False, soft_wrap=True)
    for topic, holder in done.held.items():
        err.print(f"{topic}: another archiver is at it ({holder}).", markup=False, soft_wrap=True)


def _age(seconds: float | None) -> str:
    from tidemill.cli.replay_words import span_text

    return "" if seconds is None else f"{span_text(max(0.0, seconds))} ago"


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns: list[Any] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        tasks: dict[str, Any] = {}
        lock = threading.Lock()

        def show(what: str, done: int, total: int) -> None:
            with lock:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done, total=max(1, total))

        yield show


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.add_typer(app, name="archive")
