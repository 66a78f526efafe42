"""`tidemill delayed`: the events that wait until they are due: listed, shown, cancelled, sent off now.

Looking needs no scheduler; what changes something is done by the scheduler, and its answer is what is printed.
"""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from scheduler.delays.record import Record
    from scheduler.delays.requests import Wish
    from scheduler.delays.waiting import Waiting
    from scheduler.log import Progress

app = typer.Typer(help="Events that wait until they are due.", no_args_is_help=True, rich_markup_mode=None)

LIST_EPILOG = """
\b
Examples:
  tidemill delayed list                          the 20 that are due next
  tidemill delayed list --topic image.requested --limit 100
  tidemill delayed list --overdue                what should have gone, and what hinders it
  tidemill delayed list --json | jq -r '.events[].id'
"""
SHOW_EPILOG = """
\b
Examples:
  tidemill delayed show 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f
  tidemill delayed show order-17-reminder --json | jq .payload

Exit status: 0 if it waits; 4 if it was dispatched or cancelled; 5 if no such event waits.
"""
CANCEL_EPILOG = """
\b
Examples:
  tidemill delayed cancel order-17-reminder
  tidemill delayed list --topic image.requested --json | jq -r '.events[].id' | xargs -n1 tidemill delayed cancel

\b
Exit status:
  0  cancelled, by this or by an earlier call
  3  no scheduler has answered in time; the request stays, the next one honours it
  4  dispatched already
  5  no such event waits
  1  anything else
"""
NOW_EPILOG = """
\b
Examples:
  tidemill delayed now order-17-reminder

\b
Exit status:
  0  dispatched, by this call or before
  3  no scheduler has answered in time; the request stays, the next one honours it
  4  cancelled already
  5  no such event waits
  1  the brokers don't take the event, or anything else
"""
OVERDUE_SECONDS = 5.0
"""Sooner an event is on its way, not overdue."""

Id = Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for a scheduler's answer.")]


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(
    topic: Annotated[str | None, typer.Option(help="Only events that go to this topic, without the namespace.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those that should have gone.")] = False,
    as_json: Json = False,
) -> None:
    """Events that wait, the next due first."""
    from scheduler.delays.obstacles import Obstacles
    from scheduler.delays.record import read_record
    from scheduler.delays.waiting import microseconds
    from tidemill.config import load_settings

    settings = load_settings()
    wanted = None if topic is None else settings.qualified(topic)
    with _progress() as progress, read_record(settings, progress=progress) as record:
        now = datetime.now(UTC)
        late_us = microseconds(now) - round(OVERDUE_SECONDS * 1_000_000)
        before_us = late_us if overdue else None
        events = list(islice(record.soonest(topic=wanted, before_us=before_us), limit))
        obstacles = Obstacles.at(settings, {event.topic for event in events if event.due_us < late_us})
        rows = [_row(event, now, obstacles.before(event) if event.due_us < late_us else None) for event in events]
        counts = {
            "total": record.count(),
            "matching": record.count(topic=wanted, before_us=before_us),
            "overdue": record.count(before_us=late_us),
            "unanswered_requests": len(record.unanswered),
        }
        if as_json:
            print_json({**counts, "next_due": events[0].due if events else None, "events": rows, **_unreadable(record)})
            return
        if rows:
            out.print(_table(rows, now, settings.namespace))
        else:
            err.print(_nothing(topic, overdue, counts["total"]), markup=False)
        _sum_up(record, counts, len(rows))


def _table(rows: list[dict[str, Any]], now: datetime, namespace: str) -> Table:
    """Rows for people: ids in one piece, to be copied; what says nothing new is left out."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    topics = [row["topic"].removeprefix(namespace) for row in rows]
    has_types = any(row["type"] not in (None, topic) for row, topic in zip(rows, topics, strict=True))
    has_hindrances = any(row["hindrance"] for row in rows)
    is_this_year = all(row["due"].year == now.year for row in rows)
    for heading in ("DUE (UTC)", "IN", "ID"):
        table.add_column(heading, no_wrap=True)
    for heading in ("TYPE", "TOPIC") if has_types else ("TOPIC",):
        table.add_column(heading, overflow="fold")
    table.add_column("BYTES", justify="right", no_wrap=True)
    if has_hindrances:
        table.add_column("HINDERED BY", overflow="fold")
    for row, topic in zip(rows, topics, strict=True):
        types = [row["type"] or ""] if has_types else []
        due = format(row["due"], "%m-%d %H:%M:%S" if is_this_year else "%Y-%m-%d %H:%M:%S")
        hindrance = [row["hindrance"] or ""] if has_hindrances else []
        table.add_row(due, row["in"], row["id"], *types, topic, f"{row['size_bytes']:,}", *hindrance)
    return table


@app.command(epilog=SHOW_EPILOG)
@command
def show(event_id: Id, as_json: Json = False) -> None:
    """One event: when it is due, where it goes, its headers and its payload."""
    from scheduler.delays.payload import payload_of
    from scheduler.delays.record import look_up
    from scheduler.delays.requests import Outcome
    from scheduler.delays.wording import ABSENT, OTHERWISE, due_in, end_of
    from tidemill.config import load_settings

    settings = load_settings()
    with _progress() as progress:
        found = look_up(settings, event_id, progress=progress)
    if found is None or isinstance(found, Outcome):
        err.print(end_of(event_id, found), markup=False, soft_wrap=True)
        raise typer.Exit(ABSENT if found is None else OTHERWISE)
    partition, event = found
    facts = _row(event, datetime.now(UTC), None)
    del facts["hindrance"]
    facts |= {
        "key": None if event.key is None else event.key.decode("utf-8", "replace"),
        "place": f"schedule.delayed[{partition}], offset {event.offset}",
    }
    headers = {name: value.decode("utf-8", "replace") for name, value in event.headers}
    payload, fault = payload_of(settings, event)
    if as_json:
        print_json({**facts, "headers": headers, "payload": payload, "payload_fault": fault})
        return
    when = due_in(event, datetime.now(UTC))
    facts["due"] = (
        f"{event.due.isoformat(timespec='microseconds')} ({when if when.endswith('overdue') else f'in {when}'})"
    )
    facts["size"] = f"{facts.pop('size_bytes'):,} B"
    del facts["in"]
    _print_pairs(facts)
    out.print("\n[bold]headers[/]")
    _print_pairs(headers)
    out.print("\n[bold]payload[/]")
    if fault is None:
        print_json(payload)
    else:
        out.print(f"  {fault}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog=CANCEL_EPILOG)
@command
def cancel(event_id: Id, timeout: Timeout = 10.0, as_json: Json = False) -> None:
    """Cancel an event; says whether it was, or had been dispatched before."""
    from scheduler.delays.requests import Wish

    _ask(Wish.CANCEL, event_id, timeout, as_json)


@app.command(epilog=NOW_EPILOG)
@command
def now(event_id: Id, timeout: Timeout = 10.0, as_json: Json = False) -> None:
    """Send an event off now instead of when it is due."""
    from scheduler.delays.requests import Wish

    _ask(Wish.NOW, event_id, timeout, as_json)


def register(tidemill: typer.Typer) -> None:
    """Add the commands to `tidemill`; for the entry point `tidemill.commands`."""
    tidemill.add_typer(app, name="delayed")


def _ask(wish: Wish, event_id: str, timeout: float, as_json: bool) -> None:
    from scheduler.delays.asking import ask
    from scheduler.delays.record import look_up
    from scheduler.delays.requests import Answer, Outcome
    from scheduler.delays.wording import UNANSWERED, verdict
    from tidemill.config import load_settings

    settings = load_settings()
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    asked = ask(settings, wish, event_id, by=by, timeout_seconds=timeout)
    outcome = None
    if asked.answer is Answer.ABSENT:
        with _progress() as progress:
            found = look_up(settings, event_id, progress=progress)
        # Had it been published again since the answer, it would wait now; the answer was about before.
        outcome = found if isinstance(found, Outcome) else None
    status, line = verdict(wish, event_id, asked, outcome, timeout)
    if as_json:
        answer = None if asked.answer is None else asked.answer.value
        found_before = None if outcome is None else {"kind": outcome.kind.value, "at": outcome.at, "by": outcome.by}
        print_json({"id": event_id, "answer": answer, "before": found_before, "exit_status": status, "said": line})
    else:
        mark = "[green]✓[/] " if status == 0 else "[red]✗[/] "
        (out if status == 0 else err).print(mark, end="")
        (out if status == 0 else err).print(line, markup=False, highlight=False, soft_wrap=True)
        if status == UNANSWERED:
            err.print("[bold]next:[/]  `tidemill scheduler` starts one.", soft_wrap=True)
    raise typer.Exit(status)


def _row(event: Waiting, now: datetime, hindrance: str | None) -> dict[str, Any]:
    from scheduler.delays.wording import due_in
    from tidemill.event import TYPE

    headers = dict(event.headers)
    return {
        "due": event.due,
        "in": due_in(event, now),
        "id": event.id.decode("utf-8", "replace"),
        "type": headers.get(TYPE, b"").decode("utf-8", "replace") or None,
        "topic": event.topic,
        "size_bytes": event.size_bytes,
        "hindrance": hindrance,
    }


def _nothing(topic: str | None, overdue: bool, total: int) -> str:
    what = "overdue" if overdue else "that waits"
    where = "" if topic is None else f" for {topic}"
    return f"No event {what}{where}." + (f" {total:,} wait in all." if total else "")


def _unreadable(record: Record) -> dict[str, Any]:
    return {
        "unreadable": [
            {"partition": each.partition, "offset": each.offset, "reason": each.reason}
            for each in record.unreadable.values()
        ]
    }


def _sum_up(record: Record, counts: dict[str, int], shown: int) -> None:
    """What a person should know besides; on standard error."""
    if shown:
        more = "" if counts["matching"] == counts["total"] else f", {counts['total']:,} wait in all"
        err.print(f"{shown:,} of {counts['matching']:,} events{more}", highlight=False)
    if counts["overdue"]:
        err.print(
            f"[yellow]![/] {counts['overdue']:,} overdue. Is a scheduler running? `tidemill scheduler` starts one; "
            "its log names what the brokers refuse.",
            soft_wrap=True,
            highlight=False,
        )
    if counts["unanswered_requests"]:
        err.print(f"[yellow]![/] {counts['unanswered_requests']:,} requests to cancel or send are unanswered.")
    for each in islice(record.unreadable.values(), 5):
        err.print(f"[yellow]![/] no delayed event, skipped: schedule.delayed[{each.partition}] ", end="")
        err.print(f"offset {each.offset}: {each.reason}", markup=False, highlight=False, soft_wrap=True)
    if len(record.unreadable) > 5:
        err.print(
            f"[yellow]![/] {len(record.unreadable) - 5:,} further records are no delayed events (--json has all)."
        )


def _print_pairs(pairs: dict[str, Any]) -> None:
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        out.print(
            f"  {name:<{width}}  {'-' if value is None else value}", markup=False, highlight=False, soft_wrap=True
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar for a long look; nothing where standard error is no terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
