"""`tidemill dead`: dead letters, grouped, shown, put back, discarded, exported; for the entry points of commands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from consumers.deadletters.asking import (
    NONE,
    GroupOption,
    IdOption,
    Json,
    SinceOption,
    StreamOption,
    TopicOption,
    WhereOption,
    bar,
    caught_up,
    since_ms,
)
from consumers.deadletters.command_acting import DISCARD_EPILOG, REDRIVE_EPILOG, discard, redrive
from consumers.deadletters.state import State
from tidemill.cli.terminal import command, err, out, print_json

app = typer.Typer(
    help="Dead letters: grouped, shown, put back, discarded, exported.", no_args_is_help=True, rich_markup_mode=None
)

StatesOption = Annotated[
    list[State] | None, typer.Option("--state", help="Only letters of this state; may be repeated. Default: open.")
]
LIST_EPILOG = """
\b
Examples:
  tidemill dead list                             what is open, the largest groups first
  tidemill dead list --stream image --since 1d
  tidemill dead list --state resolved --state returned
  tidemill dead list --where "message like '%timed out%'"
  tidemill dead list --json | jq -r '.groups[0].group'

\b
A group is a stream, a handler, an error's class, its message without what changes, and where it was raised.
Exit status: 0; 1 if something went wrong.
"""
INDEX_EPILOG = """
\b
Examples:
  tidemill dead index                  read what is new; every other command does so by itself, for some seconds
  tidemill dead index --rebuild        make it anew from the topics
  tidemill dead index --follow         keep it up to date, until Ctrl-C

The index is state_dir/dead.db, or where TIDEMILL_DEAD_URL says.
"""
SHOW_EPILOG = """
\b
Examples:
  tidemill dead show 3f9a1c07                                 the latest letter of a group
  tidemill dead show 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f     an event
  tidemill dead show image.requested.dead/2/4711 --json | jq .payload

Exit status: 0 if there is one; 5 if there isn't.
"""
EXPORT_EPILOG = """
\b
Examples:
  tidemill dead export --out open.ndjson
  tidemill dead export --group 3f9a1c07 --out group.parquet && duckdb -c "from 'group.parquet'"
"""
AUDIT_EPILOG = """
\b
Examples:
  tidemill dead audit
  tidemill dead audit --since 7d --json | jq '.[] | select(.action == "discard")'
"""
FOLLOW_SECONDS = 1.0
MOST_SHOWN = 100


@command
def list_(
    stream: StreamOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    state: StatesOption = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many groups to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Dead letters in groups of the same failure."""
    from consumers.deadletters.listing import group_json, groups_table
    from consumers.deadletters.selection import Selection, groups

    states = tuple(state or (State.OPEN,))
    wanted = Selection(states=states, where=where, stream=stream, topic=topic, since_ms=since_ms(since))
    with caught_up() as (_, _, index), index.database.reading() as connection:
        found, number, letters = groups(connection, wanted, limit)
    if as_json:
        print_json({"letters": letters, "groups_in_all": number, "groups": [group_json(group) for group in found]})
        return
    named = ", ".join(states)
    if not found:
        err.print(f"No dead letters that are {named}.", markup=False)
        return
    out.print(groups_table(found, datetime.now(UTC)))
    more = "" if len(found) == number else f"; {len(found):,} of them are shown, --limit shows more"
    what = "letter" if letters == 1 else "letters"
    err.print(f"{letters:,} {what} ({named}) in {number:,} {'group' if number == 1 else 'groups'}{more}")
    if states == (State.OPEN,):
        first = found[0].id
        next_step = f"Next: `tidemill dead show {first}`, then `tidemill dead redrive --group {first} --dry-run`"
        err.print(next_step, markup=False, soft_wrap=True, style="dim")


@command
def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew from the topics.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep it up to date, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the index of dead letters up to what the topics hold."""
    import time
    from dataclasses import asdict

    from consumers.deadletters.index import NEVER_SECONDS, opened
    from consumers.deadletters.settings import load_dead_settings
    from tidemill.config import load_settings
    from tidemill.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    with opened(settings, load_dead_settings()) as opened_index:
        with bar("reading dead letters") as progress:
            found = opened_index.rebuild(progress) if rebuild else opened_index.catch_up(NEVER_SECONDS, progress)
        if as_json:
            print_json(asdict(found))
        else:
            rate = f", {found.letters / found.seconds:,.0f}/s" if found.letters > 1_000 else ""
            out.print(
                f"[green]✓[/] {found.letters:,} letters and {found.actions:,} actions read in {found.seconds:.1f} s"
                f"{rate}, {opened_index.database.shown}",
                soft_wrap=True,
            )
        while follow:
            time.sleep(FOLLOW_SECONDS)
            found = opened_index.catch_up(NEVER_SECONDS)
            if found.letters or found.actions or found.settled:
                err.print(f"{found.letters:,} letters, {found.actions:,} actions, {found.settled:,} resolved")


@command
def show(
    id_or_group: Annotated[
        str, typer.Argument(metavar="ID|GROUP", help="An event, a letter's topic/partition/offset, or a group.")
    ],
    stream: StreamOption = None,
    as_json: Json = False,
) -> None:
    """A whole letter: payload, error, traceback, and all that has happened to its event."""
    from consumers.deadletters.history import print_letter, whole_letter
    from consumers.deadletters.selection import Selection, letters

    with caught_up() as (settings, _, index), index.database.reading() as connection:
        found = letters(connection, Selection(states=(), id=id_or_group, stream=stream), MOST_SHOWN)
        if not found:
            in_group = Selection(states=(), group=id_or_group.lower(), stream=stream)
            found = letters(connection, replace(in_group, states=(State.OPEN,)), 1) or letters(connection, in_group, 1)
        if not found:
            err.print(f"There is no dead letter and no group {id_or_group!r}.", markup=False, soft_wrap=True)
            raise typer.Exit(NONE)
        facts = whole_letter(settings, connection, found[-1])
    if as_json:
        print_json(facts)
        return
    print_letter(facts)
    if len(found) > 1:
        err.print(f"[dim]This is the last of {len(found)} letters of this event; its history has them all.[/]")


@command
def export(
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE", help="*.ndjson or *.parquet; it is replaced.")],
    group: GroupOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
    stream: StreamOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    state: StatesOption = None,
    as_json: Json = False,
) -> None:
    """Write letters to a file, payloads decoded."""
    from consumers.deadletters.exporting import export as run
    from consumers.deadletters.exporting import format_of
    from consumers.deadletters.selection import Selection

    format_of(out_file)
    wanted = Selection(tuple(state or (State.OPEN,)), group, id_, where, stream, topic, since_ms(since))
    with caught_up(completely=True) as (settings, _, index), bar("exporting") as progress:
        written, missing = run(settings, index, wanted, out_file, progress)
    if as_json:
        print_json({"letters": written, "deleted_before": missing, "file": str(out_file)})
        return
    out.print(f"[green]✓[/] {written:,} letters in ", end="")
    out.print(str(out_file), markup=False, soft_wrap=True)
    if missing:
        err.print(f"{missing:,} are not there: their topics hold them no more.")


@command
def audit(
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many commands to show.")] = 50,
    as_json: Json = False,
) -> None:
    """What was done about dead letters: by whom, when and why."""
    from consumers.deadletters.auditing import runs, runs_table

    with caught_up() as (_, _, index), index.database.reading() as connection:
        found = runs(connection, since_ms(since), limit)
    if as_json:
        print_json([run.as_json() for run in found])
    elif not found:
        err.print("Nothing was done about dead letters.")
    else:
        out.print(runs_table(found))


# In the order in which --help names them.
app.command("list", epilog=LIST_EPILOG)(list_)
app.command(epilog=SHOW_EPILOG)(show)
app.command(epilog=REDRIVE_EPILOG)(redrive)
app.command(epilog=DISCARD_EPILOG)(discard)
app.command(epilog=EXPORT_EPILOG)(export)
app.command(epilog=AUDIT_EPILOG)(audit)
app.command(epilog=INDEX_EPILOG)(index)


def register(tidemill: typer.Typer) -> None:
    """Add the commands to `tidemill`."""
    tidemill.add_typer(app, name="dead")
