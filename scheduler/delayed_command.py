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

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from scheduler.delays.asking import Asked
    from scheduler.delays.record import Record
    from scheduler.delays.requests import Outcome, Wish
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

Exit status: 0 if it waits; 3 if it was dispatched or cancelled; 4 if no such event waits.
"""
CANCEL_EPILOG = """
\b
Examples:
  tidemill delayed cancel order-17-reminder
  tidemill delayed list --topic image.requested --json | jq -r '.events[].id' | xargs -n1 tidemill delayed cancel

\b
Exit status:
  0  cancelled, by this or by an earlier call
  3  dispatched already
  4  no such event waits
  5  no scheduler has answered in time; the request stays, the next one does it
  1  anything else
"""
NOW_EPILOG = """
\b
Examples:
  tidemill delayed now order-17-reminder

\b
Exit status:
  0  dispatched, by this call or before
  3  cancelled already
  4  no such event waits
  5  no scheduler has answered in time; the request stays, the next one does it
  1  the brokers don't take the event, or anything else
"""
OTHERWISE, ABSENT, UNANSWERED = 3, 4, 5
"""Exit statuses: it went the other way; no such event; no answer."""
OVERDUE_SECONDS = 5.0
"""Sooner an event is on its way, not overdue."""

Id = Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for a scheduler's answer.")]


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(
    topic: Annotated[str | None, typer.Option(help="Only events that go to this topic.")] = None,
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
        late = [event for event in events if event.due_us < late_us]
        obstacles = Obstacles.at(settings, {event.topic for event in late})
        rows = [_row(event, now, obstacles.before(event) if event in late else None) for event in events]
        counts = {
            "total": record.count(),
            "matching": record.count(topic=wanted, before_us=before_us),
            "overdue": record.count(before_us=late_us),
            "unanswered_requests": len(record.unanswered),
        }
        if as_json:
            print_json({**counts, "next_due": events[0].due if events else None, "events": rows, **_unreadable(record)})
            return
        columns = _COLUMNS | ({"hindrance": "HINDERED BY"} if any(row["hindrance"] for row in rows) else {})
        shown = [
            {
                **row,
                "due": f"{row['due']:%Y-%m-%d %H:%M:%S}",
                "topic": row["topic"].removeprefix(settings.namespace),
                "size": f"{row['size_bytes']:,}",
            }
            for row in rows
        ]
        print_rows(shown, columns, as_json=False, empty=_nothing(topic, overdue, counts["total"]))
        _sum_up(record, counts, len(rows))


_COLUMNS = {"due": "DUE (UTC)", "in": "IN", "id": "ID", "type": "TYPE", "topic": "TOPIC", "size": "BYTES"}


@app.command(epilog=SHOW_EPILOG)
@command
def show(event_id: Id, as_json: Json = False) -> None:
    """One event: when it is due, where it goes, its headers and its payload."""
    from scheduler.delays.payload import payload_of
    from scheduler.delays.record import look_up
    from scheduler.delays.requests import Outcome
    from tidemill.config import load_settings

    settings = load_settings()
    with _progress() as progress:
        found = look_up(settings, event_id, progress=progress)
    if found is None or isinstance(found, Outcome):
        err.print(_end(event_id, found), markup=False, soft_wrap=True)
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
    facts["due"] = f"{event.due.isoformat(timespec='microseconds')} (in {_in(event, datetime.now(UTC))})"
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
    status, line = _verdict(wish, event_id, asked, outcome, timeout)
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


def _verdict(wish: Wish, event_id: str, asked: Asked, outcome: Outcome | None, timeout: float) -> tuple[int, str]:
    """Exit status, and what to say."""
    from scheduler.delays.requests import Answer, Wish

    fulfilled = Answer.CANCELLED if wish is Wish.CANCEL else Answer.DISPATCHED
    match asked.answer:
        case None:
            return UNANSWERED, (
                f"No scheduler has answered within {timeout:g} s. The request to {wish} {event_id} is written and "
                "stays: the next scheduler that runs does it, if the event still waits then."
            )
        case Answer.CANCELLED:
            return 0, f"cancelled: {event_id} will not be dispatched."
        case Answer.DISPATCHED:
            return 0, f"dispatched: {event_id} is in its topic now."
        case Answer.REFUSED:
            return 1, f"not dispatched: {event_id} waits on. {asked.reason}"
        case Answer.ABSENT:
            status = ABSENT if outcome is None else 0 if outcome.kind is fulfilled else OTHERWISE
            return status, _end(event_id, outcome)


def _end(event_id: str, outcome: Outcome | None) -> str:
    from scheduler.delays.requests import Answer

    if outcome is None:
        return f"No such event waits: {event_id}. It never did, or it was dispatched or cancelled more than a day ago."
    at = "" if outcome.at is None else f" at {outcome.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    if outcome.kind is Answer.DISPATCHED:
        return f"dispatched already{at} to {outcome.topic}: {event_id}"
    return f"cancelled already{at} by {outcome.by}: {event_id}"


def _row(event: Waiting, now: datetime, hindrance: str | None) -> dict[str, Any]:
    from tidemill.event import TYPE

    headers = dict(event.headers)
    return {
        "due": event.due,
        "in": _in(event, now),
        "id": event.id.decode("utf-8", "replace"),
        "type": headers.get(TYPE, b"").decode("utf-8", "replace") or None,
        "topic": event.topic,
        "size_bytes": event.size_bytes,
        "hindrance": hindrance,
    }


def _in(event: Waiting, now: datetime) -> str:
    seconds = (event.due - now).total_seconds()
    return _span(seconds) if seconds >= 0 else f"{_span(-seconds)} overdue"


def _span(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    raise AssertionError(whole)


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
