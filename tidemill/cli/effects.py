"""`tidemill effects`: what the ledger of `work.once` knows, and the answers that it waits for."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.effects.database import Database
    from tidemill.runtime.effects.inspection import Seen

app = typer.Typer(help="Effects that happen once, and what came of them.", no_args_is_help=True, rich_markup_mode=None)

LIST_EPILOG = """
\b
Examples:
  tidemill effects list                            the 20 that were begun last
  tidemill effects list --state unknown            those that wait for an answer of yours
  tidemill effects list --state started --older-than 10m
  tidemill effects list --stream email --json | jq -r '.[].event'
"""
SHOW_EPILOG = """
\b
Examples:
  tidemill effects show 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f
  tidemill effects show 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --json | jq '.[].result'

Exit status: 0 if the event has effects; 5 if the ledger knows none.
"""
RESOLVE_EPILOG = """
\b
Examples:
  tidemill effects resolve 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f charge --done --result '{"receipt": "r-17"}'
  tidemill effects resolve 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f charge --again

It only writes the answer down. The event itself is a dead letter: publish it again afterwards.
"""
NONE = 5
"""Exit status where there is nothing of that name; as `tidemill delayed show`."""

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
EventId = Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id.")]
Stream = Annotated[str | None, typer.Option(help="Only this stream's.")]
StateName = Literal["started", "done", "failed", "unknown"]


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(
    state: Annotated[StateName | None, typer.Option(help="Only effects of this state.")] = None,
    stream: Stream = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only those that were begun longer ago, e.g. 90s, 15m, 6h, 7d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Effects, those that were begun last first."""
    age = _age(older_than)
    with _ledger() as (settings, database):
        from tidemill.runtime.effects.inspection import listed

        found = listed(
            database,
            state=state,
            scope=_scope(settings, stream),
            older_than_seconds=age.total_seconds() if age is not None else None,
            limit=limit,
        )
    if as_json:
        print_json([_row(seen) for seen in found])
    elif not found:
        err.print("No such effects.", markup=False)
    else:
        _print_table(found)
        open_questions = sum(seen.entry.state == "unknown" for seen in found)
        if open_questions:
            err.print(
                f"\n{open_questions} may have happened or not: look, then [bold]`tidemill effects resolve`[/].",
                highlight=False,
            )


def _print_table(found: list[Seen]) -> None:
    """Rows for people: ids and keys in one piece, to be copied; what says nothing new is left out."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    begun = [_moment(seen.entry.started_ms) for seen in found]
    is_this_year = {moment.year for moment in begun} == {datetime.now(UTC).year}
    has_tries = any(seen.entry.attempt > 1 for seen in found)
    for heading in ("BEGUN (UTC)", "STATE", *(("TRIES",) if has_tries else ()), "EVENT", "STREAM", "KEY"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "TRIES" else "left")
    for seen, moment in zip(found, begun, strict=True):
        entry, tries = seen.entry, (str(seen.entry.attempt),) if has_tries else ()
        when = format(moment, "%m-%d %H:%M:%S" if is_this_year else "%Y-%m-%d %H:%M:%S")
        names = (escape(name) for name in (entry.name.event_id, seen.stream, entry.name.key))
        table.add_row(when, _STATES[entry.state], *tries, *names)
    # A line that is too long for the terminal is for the terminal to wrap: folded cells can't be copied.
    table.width = out.measure(table, options=out.options.update(width=10_000)).maximum
    out.print(table, crop=False, overflow="ignore", no_wrap=True)


_STATES = {"started": "[yellow]started[/]", "done": "done", "failed": "failed", "unknown": "[red]unknown[/]"}


@app.command(epilog=SHOW_EPILOG)
@command
def show(event_id: EventId, as_json: Json = False) -> None:
    """All effects of an event: state, tries, result, and why nobody knows."""
    with _ledger() as (_, database):
        from tidemill.runtime.effects.inspection import of_event

        found = of_event(database, event_id)
    if as_json:
        print_json([_row(seen) for seen in found])
    elif not found:
        err.print(f"The ledger knows no effect of event {event_id}.", markup=False, soft_wrap=True)
    else:
        for number, seen in enumerate(found):
            if number:
                out.print()
            _print_one(seen)
    if not found:
        raise typer.Exit(NONE)


@app.command(epilog=RESOLVE_EPILOG)
@command
def resolve(
    event_id: EventId,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The effect's key.")],
    done: Annotated[bool, typer.Option("--done", help="It has happened.")] = False,
    again: Annotated[bool, typer.Option("--again", help="It has not: the next try is to do it.")] = False,
    result: Annotated[
        str | None, typer.Option(metavar="JSON", help="With --done: what the handler gets as its result; default null.")
    ] = None,
    stream: Stream = None,
) -> None:
    """Say whether an effect has happened that nobody else can know of."""
    if done == again:
        raise typer.BadParameter("Say either --done or --again.", param_hint="--done / --again")
    if result is not None and not done:
        raise typer.BadParameter("A result goes with --done.", param_hint="--result")
    text = _checked(result)
    with _ledger() as (settings, database):
        from tidemill.runtime.effects import inspection

        inspection.resolve(
            database,
            event_id,
            key,
            scope=_scope(settings, stream),
            state="done" if done else "failed",
            result=text if done else None,
            who=getpass.getuser(),
        )
    what = "counts as done" if done else "is done by the next try"
    out.print(f"[green]✓[/] {key} of {event_id} {what}", highlight=False, soft_wrap=True)


def _checked(result: str | None) -> str:
    from tidemill.errors import EffectError
    from tidemill.runtime.effects.result import as_json

    try:
        return as_json(json.loads(result)) if result is not None else "null"
    except (ValueError, EffectError) as error:
        raise typer.BadParameter(f"{result!r} can't be a result: {error}", param_hint="--result") from error


def _age(older_than: str | None) -> timedelta | None:
    from tidemill.contracts.duration import parse_duration

    try:
        return parse_duration(older_than) if older_than is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"{older_than!r}: {error}", param_hint="--older-than") from error


@contextmanager
def _ledger() -> Iterator[tuple[Settings, Database]]:
    from tidemill.config import load_settings
    from tidemill.runtime.effects.database import Database, translated

    settings = load_settings()
    database = Database(settings)
    try:
        with translated(database.shown):
            yield settings, database
    finally:
        database.close()


def _scope(settings: Settings, stream: str | None) -> str | None:
    return None if stream is None else settings.qualified(f"tidemill.{stream}")


def _row(seen: Seen) -> dict[str, Any]:
    entry = seen.entry
    return {
        "event": entry.name.event_id,
        "stream": seen.stream,
        "group": entry.name.scope,
        "key": entry.name.key,
        "state": entry.state,
        "policy": entry.policy,
        "attempt": entry.attempt,
        "begun": _moment(entry.started_ms).isoformat(timespec="milliseconds"),
        "age_seconds": round(seen.age_seconds, 3),
        "ended": None if entry.finished_ms is None else _moment(entry.finished_ms).isoformat(timespec="milliseconds"),
        "by": entry.owner_name,
        "last_sign_of_life_seconds": seen.silent_seconds if entry.state == "started" else None,
        "result": None if entry.result is None else json.loads(entry.result),
        "note": entry.note,
    }


def _print_one(seen: Seen) -> None:
    facts = _row(seen)
    silent_seconds = facts.pop("last_sign_of_life_seconds")
    age = f"{timedelta(seconds=round(facts.pop('age_seconds')))} ago"
    facts["begun"] += f" ({age})"
    if seen.entry.state == "started":
        facts["by"] += f" ({_life(seen, silent_seconds)})"
    facts["result"] = seen.entry.result
    if seen.entry.state == "unknown":
        facts["question"] = "Has it happened? Look, then `tidemill effects resolve`."
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            out.print(f"{name:<{width}}  {value}", markup=False, highlight=False, soft_wrap=True)


def _life(seen: Seen, silent_seconds: float | None) -> str:
    if seen.owner_is_gone or silent_seconds is None:
        return "it has ended"
    return f"last sign of life {silent_seconds:.0f} s ago"


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
