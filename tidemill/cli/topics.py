"""`tidemill topics`: the topics that contracts ask for, shown, compared and made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from tidemill.topics import Change

app = typer.Typer(help="Topics made from the contracts.", no_args_is_help=True, rich_markup_mode=None)

LIST_EPILOG = """
\b
Examples:
  tidemill topics list         the topics of contracts, with their dead letters
  tidemill topics list --all   everything else in the cluster, too
"""
DIFF_EPILOG = """
\b
Examples:
  tidemill topics diff || tidemill topics apply

Exit status: 0 if `apply` would change nothing, 1 if it would.
"""
APPLY_EPILOG = """
\b
Examples:
  tidemill topics apply --dry-run     what would be done
  tidemill topics apply --replication 2

Never deletes a topic and never lowers its partitions. Doing it again changes nothing.
"""

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Replication = Annotated[
    int | None, typer.Option(min=1, help="Copies of each partition; default 3, or as many as there are brokers.")
]


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also topics without a contract.")] = False,
    as_json: Json = False,
) -> None:
    """Topics, their settings, and how many events they hold."""
    from tidemill.config import load_settings
    from tidemill.topics import house_topics, known_contracts, read_topics, wanted_topics
    from tidemill.topics.cluster import event_counts
    from tidemill.topics.plan import shown
    from tidemill.topics.wanted import CLEANUP, RETENTION

    settings = load_settings()
    wanted = wanted_topics(settings, known_contracts(settings), house=house_topics(), brokers=1)
    purposes = {topic.name: topic.purpose for topic in wanted}
    there = read_topics(settings, None if all_ else purposes)
    counts = event_counts(settings, there)
    rows = [
        {
            "topic": topic.name,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "retention": shown(RETENTION, topic.config.get(RETENTION)),
            "retention_ms": int(topic.config.get(RETENTION, -1)),
            "cleanup": topic.config.get(CLEANUP),
            "events": counts[topic.name] if as_json else f"{counts[topic.name]:,}",
            "contract": purposes.get(topic.name),
            "in_contract": "yes" if topic.name in purposes else "no",
        }
        for topic in sorted(there.values(), key=lambda topic: (topic.name not in purposes, topic.name))
    ]
    columns = _LIST_COLUMNS | ({"in_contract": "CONTRACT"} if all_ else {})
    print_rows(rows, columns, as_json=as_json, empty="No topic of a contract is there yet.")
    missing = purposes.keys() - there.keys()
    if missing:
        err.print(
            f"{len(missing)} of {len(purposes)} topics are not there. [bold]`tidemill topics apply`[/] makes them."
        )


_LIST_COLUMNS = {
    "topic": "TOPIC",
    "partitions": "PARTITIONS",
    "replication": "COPIES",
    "retention": "KEEPS",
    "cleanup": "CLEANUP",
    "events": "EVENTS",
}


@app.command(epilog=DIFF_EPILOG)
@command
def diff(replication: Replication = None, as_json: Json = False) -> None:
    """What `apply` would change."""
    from tidemill.config import load_settings
    from tidemill.topics import difference

    changes = difference(load_settings(), replication=replication)
    _show(changes, as_json)
    if any(change.is_step for change in changes):
        raise typer.Exit(1)


@app.command("apply", epilog=APPLY_EPILOG)
@command
def apply_(
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")] = False,
    replication: Replication = None,
    as_json: Json = False,
) -> None:
    """Make and alter topics until they are as their contracts say."""
    from tidemill.config import load_settings
    from tidemill.topics import apply, difference

    settings = load_settings()
    changes = difference(settings, replication=replication) if dry_run else apply(settings, replication=replication)
    _show(changes, as_json)
    steps = sum(change.is_step for change in changes)
    if steps and not as_json:
        done = "would be done" if dry_run else "done"
        out.print(f"\n[green]✓[/] {steps} change{'s' if steps != 1 else ''} {done}")


def _show(changes: list[Change], as_json: bool) -> None:
    from tidemill.topics.plan import shown

    rows: list[dict[str, Any]] = [
        {
            "topic": change.topic,
            "action": change.action,
            "setting": change.setting,
            "found": change.found if as_json else shown(change.setting, change.found),
            "wanted": change.wanted if as_json else shown(change.setting, change.wanted),
            "note": change.note,
        }
        for change in changes
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("[green]✓[/] every topic is as its contract says")
        return
    columns = {"action": "CHANGE", "topic": "TOPIC", "setting": "SETTING", "found": "NOW", "wanted": "WANTED"}
    if any(row["note"] for row in rows):
        columns["note"] = "NOTE"
    print_rows(rows, columns, as_json=False, empty="")
