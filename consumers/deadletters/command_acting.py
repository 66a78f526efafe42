"""The commands of `tidemill dead` that change something: `redrive` and `discard`."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from consumers.deadletters.asking import (
    NONE,
    ByOption,
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
    who,
)
from consumers.deadletters.state import State
from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from consumers.deadletters.editing import Edit
    from consumers.deadletters.index import Index
    from consumers.deadletters.redriving import Outcome
    from consumers.deadletters.selection import Selection
    from tidemill.config import Settings

REDRIVE_EPILOG = """
\b
Examples:
  tidemill dead redrive --group 3f9a1c07 --dry-run
  tidemill dead redrive --group 3f9a1c07 --rate 100/s --why "the mail relay is back"
  tidemill dead redrive --id 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --edit fix.json
  tidemill dead redrive --where "error = 'TimeoutError' and attempts >= 5" --yes

\b
Each event goes back to its topic, once, with its id, key and headers; only the stream where it died handles it.
A command that was stopped or killed is simply given again. --edit takes a JSON Patch (RFC 6902) or a merge patch
(RFC 7386) on the payload as JSON; what doesn't fit the contract then is left where it is.

Exit status: 0 if all went back; 1 if some were left; 5 if there are no such letters; 130 on Ctrl-C.
"""
DISCARD_EPILOG = """
\b
Examples:
  tidemill dead discard --group 3f9a1c07 --why "test data of last week" --dry-run
  tidemill dead discard --id image.requested.dead/2/4711 --why "customer has left" --yes

Nothing is deleted: `tidemill dead redrive --state discarded` brings them back, until their topic's retention.

Exit status: 0 if they are discarded; 5 if there are no such letters.
"""
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?")
MOST_DIFFS = 3

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
StateOption = Annotated[
    Literal["open", "discarded", "redriven"],
    typer.Option("--state", help="Letters of this state; redriven: once more what nothing came of."),
]


@command
def redrive(
    group: GroupOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
    stream: StreamOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    state: StateOption = "open",
    edit: Annotated[
        Path | None, typer.Option("--edit", metavar="FILE", help="A patch for the payloads, as JSON.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/s", help="Events a second at most, e.g. 100/s, 600/m.")
    ] = None,
    to_stream: Annotated[
        str | None, typer.Option("--to-stream", help="The stream that is to handle them, where it isn't the same.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was put back too often already.")] = False,
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")] = "",
    by: ByOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back to where they died, each once."""
    from consumers.deadletters.redriving import Orders, Redriving
    from consumers.deadletters.selection import Selection
    from tidemill.replay.interrupt import between_steps

    wanted = Selection((State(state),), group, id_, where, stream, topic, since_ms(since))
    _must_name_some(wanted)
    per_second, name = _per_second(rate), who(by)
    with ExitStack() as ends:
        settings, dead_settings, index = ends.enter_context(caught_up(completely=True))
        too_often = dead_settings.most_redrives
        chosen = wanted if again else wanted.below(too_often)
        count = _show_what(index, chosen, as_json=as_json)
        kept_back = 0 if again else _count(index, wanted) - count
        if kept_back:
            err.print(
                f"[yellow]![/] {kept_back:,} were put back {too_often} times already and are left; --again takes them."
            )
        if not count:
            raise typer.Exit(1 if kept_back else NONE)
        _warn_of_unread(settings, index, chosen, to_stream)
        patch = _edit(ends, settings, edit)
        if patch is not None:
            _show_diffs(settings, index, chosen, patch, to_stream)
        if dry_run:
            _say(as_json, {"would_redrive": count, "kept_back": kept_back}, f"{count:,} would go back.")
            return
        _confirm(yes, f"Put {count:,} back?")
        orders = Orders(name, why, patch, to_stream, per_second)
        with bar("putting back") as progress, between_steps() as interrupt:
            redriving = Redriving(settings, dead_settings, index, orders, interrupt, lambda done: progress(done, count))
            outcome = redriving.run(chosen)
    _tell(outcome, as_json=as_json)


@command
def discard(
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")],
    group: GroupOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
    stream: StreamOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    by: ByOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Say that nothing is to be done about dead letters."""
    from consumers.deadletters.discarding import discard as run
    from consumers.deadletters.selection import Selection
    from tidemill.replay.interrupt import between_steps

    wanted = Selection((State.OPEN,), group, id_, where, stream, topic, since_ms(since))
    _must_name_some(wanted)
    if not why.strip():
        raise typer.BadParameter("it is empty", param_hint="--why")
    name = who(by)
    with caught_up(completely=True) as (settings, dead_settings, index):
        count = _show_what(index, wanted, as_json=as_json)
        if not count:
            raise typer.Exit(NONE)
        if dry_run:
            _say(as_json, {"would_discard": count}, f"{count:,} would be discarded.")
            return
        _confirm(yes, f"Discard {count:,}?")
        with bar("discarding") as progress, between_steps() as interrupt:
            done = run(
                settings,
                dead_settings,
                index,
                wanted,
                interrupt,
                by=name,
                why=why,
                progress=lambda number: progress(number, count),
            )
    _say(as_json, {"discarded": done}, f"[green]✓[/] {done:,} discarded")
    if interrupt.asked:
        raise typer.Exit(130)


def _must_name_some(selection: Selection) -> None:
    if not selection.names_some:
        raise typer.BadParameter("name them with --group, --id or --where (--where true means all of them)")


def _per_second(rate: str | None) -> float | None:
    if rate is None:
        return None
    found = _RATE.fullmatch(rate)
    if not found or not float(found[1]) > 0:
        raise typer.BadParameter(f"{rate!r} is no rate; write e.g. 100/s or 600/m", param_hint="--rate")
    return float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


def _count(index: Index, selection: Selection) -> int:
    from consumers.deadletters.selection import totals

    with index.database.reading() as connection:
        return totals(connection, selection)[0]


def _show_what(index: Index, selection: Selection, *, as_json: bool) -> int:
    """Show the groups that are meant; returns how many letters these are."""
    from consumers.deadletters.listing import groups_table
    from consumers.deadletters.selection import groups

    with index.database.reading() as connection:
        found, number, count = groups(connection, selection, 0 if as_json else 10)
    if not count:
        err.print("There are no such letters.")
    elif not as_json:
        out.print(groups_table(found, datetime.now(UTC)))
        if number > len(found):
            err.print(f"... and {number - len(found):,} more groups")
    return count


def _warn_of_unread(settings: Settings, index: Index, selection: Selection, to_stream: str | None) -> None:
    """Tell of streams that nobody seems to run, or to have run: what is put back for them waits for ever."""
    from consumers.deadletters.selection import streams
    from consumers.deadletters.settling import has_read
    from consumers.deadletters.topics import source_of

    with index.database.reading() as connection:
        found = {(to_stream or stream, source_of(topic)) for stream, topic in streams(connection, selection)}
    there = index.cluster.topic_ids(sorted({settings.qualified(topic) for _, topic in found}))
    for stream, topic in sorted(found):
        numbers = there.get(settings.qualified(topic), ("", []))[1]
        if stream and numbers and not has_read(settings, stream, topic, numbers):
            err.print(
                f"! No worker of a stream {stream!r} has read {topic!r} yet: what goes back waits until one does. "
                "--to-stream names another one.",
                markup=False,
                style="yellow",
                soft_wrap=True,
            )


def _edit(ends: ExitStack, settings: Settings, path: Path | None) -> Edit | None:
    from consumers.deadletters.editing import Edit, read_patch
    from consumers.deadletters.payloads import Payloads

    if path is None:
        return None
    patch = read_patch(path)
    return Edit(patch, ends.enter_context(closing(Payloads(settings))))


def _show_diffs(settings: Settings, index: Index, selection: Selection, edit: Edit, to_stream: str | None) -> None:
    """What a patch makes of the first letters; on standard error."""
    from rich.text import Text

    from consumers.deadletters.fetching import Fetching
    from consumers.deadletters.outgoing import outgoing
    from consumers.deadletters.plain_text import plain
    from consumers.deadletters.selection import letters, place_text
    from tidemill.errors import TidemillError

    with index.database.reading() as connection:
        rows = letters(connection, selection, MOST_DIFFS)
    with closing(Fetching(settings)) as fetching:
        for row in rows:
            err.print(f"\n{place_text(row.topic, row.partition, row.offset)}", markup=False, style="bold")
            for message in fetching.letters(row.topic, row.partition, [row.offset]):
                try:
                    lines = edit.diff(outgoing(message, settings.namespace, 1, to_stream))
                except TidemillError as error:
                    err.print(f"  it would be left: {error}", markup=False, soft_wrap=True, style="red")
                    continue
                if not lines:
                    err.print("  the patch changes nothing", style="yellow")
                for line in lines:
                    style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
                    err.print(Text(f"  {plain(line)}", style), soft_wrap=True)


def _confirm(yes: bool, question: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: give --yes, or --dry-run to look first")
    typer.confirm(question, abort=True, err=True)


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    left = outcome.left.total()
    if as_json:
        print_json(
            {
                "run": outcome.run,
                "redriven": outcome.put_back,
                "left": left,
                "reasons": dict(outcome.left.most_common()),
                "stopped": outcome.is_stopped,
            }
        )
    else:
        out.print(f"[green]✓[/] {outcome.put_back:,} put back", highlight=False)
        for reason, number in outcome.left.most_common(5):
            err.print(f"[yellow]![/] {number:,} left: ", end="")
            err.print(reason, markup=False, soft_wrap=True)
        for place, reason in outcome.samples if left else ():
            err.print(f"    {place}  {reason}", markup=False, soft_wrap=True, style="dim")
        if outcome.is_stopped:
            err.print("Stopped. Give the same command again for the rest.")
        elif outcome.put_back:
            err.print("[dim]`tidemill dead list --state redriven --state returned` says what comes of them.[/]")
    if outcome.is_stopped:
        raise typer.Exit(130)
    if left:
        raise typer.Exit(1)


def _say(as_json: bool, data: dict[str, Any], text: str) -> None:
    if as_json:
        print_json(data)
    else:
        out.print(text)
