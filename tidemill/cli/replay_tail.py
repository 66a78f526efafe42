"""`tidemill replay tail`: the last events of a topic, and with -f each further one as it comes."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tidemill.cli.replay_extent import say_that_nothing_fits
from tidemill.cli.replay_options import (
    SLACK_MINUTES,
    Columns,
    EveryPartition,
    JsonLines,
    Key,
    OnError,
    OnErrorOption,
    Partitions,
    Selection,
    Topic,
    Where,
)
from tidemill.cli.replay_rows import cell_text, event_line
from tidemill.cli.replay_summary import show_faults
from tidemill.cli.terminal import command, out

if TYPE_CHECKING:
    from tidemill.replay import Scan
    from tidemill.replay.ranges import Plan

EPILOG = """
\b
Examples:
  tidemill replay tail image.processed                  the last 10
  tidemill replay tail -f image.requested               and each further one, until Ctrl-C
  tidemill replay tail -f email.sent -n 0 --key ada@example.com
  tidemill replay tail -f image.processed --where "original.width > 4000" --json | jq .source

A line for each event: time (UTC), partition and offset, key, payload.
"""

SHOWN_FIRST = ("_timestamp", "_partition", "_offset", "_key", "_schema_id")


@command
def tail(
    topic: Topic,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("-n", "--count", min=0, metavar="N", help="How many of the last.")] = 10,
    key: Key = None,
    where: Where = None,
    partition: Partitions = None,
    columns: Columns = None,
    on_error: OnErrorOption = OnError.QUARANTINE,
    every_partition: EveryPartition = False,
    as_json: JsonLines = False,
) -> None:
    """The last events, by time; with -f those that come."""
    from tidemill.replay.outermost import outermost

    scan = Selection(topic, None, None, key, where, partition, columns, on_error, SLACK_MINUTES, every_partition).scan()
    found = outermost(scan, count, last=True)
    lines = _Lines(out, as_json=as_json)
    lines.show(found.rows, found.places)
    show_faults(found.tally)
    if follow:
        ends = found.plan.next_offsets | {each.partition: each.end for each in found.plan.ranges}
        _follow(scan, replace(found.plan, ranges=(), gaps=(), next_offsets=ends), lines)
    elif not found.places and count:
        say_that_nothing_fits(scan, found.tally.read)


def _follow(scan: Scan, plan: Plan, lines: _Lines) -> None:
    """Show what is appended; ends by Ctrl-C only."""
    run = scan.run(plan=plan, keep_messages=True, follow=True)
    try:
        with closing(run.pieces()) as pieces:
            for piece in pieces:
                taken = piece.taken
                places = [*zip(taken.timestamps, taken.partitions, taken.offsets, strict=True)]
                lines.show(piece.batch, places)
                show_faults(piece.tally)
    except KeyboardInterrupt as error:
        # The usual end: nothing to say about it.
        raise typer.Exit(130) from error


class _Lines:
    """Shows rows one by one.

    Args:
        console: Where to.
        as_json: As JSON objects instead.
    """

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json

    def show(self, rows: Any, places: list[tuple[int, int, int]]) -> None:
        """Show rows.

        Args:
            rows: A `pyarrow.Table` or `RecordBatch`.
            places: Timestamp, partition and offset of each.
        """
        from tidemill.replay.json_rows import json_rows

        if not places:
            return
        if self._as_json:
            sys.stdout.writelines(f"{line}\n" for line in json_rows(rows))
            sys.stdout.flush()
            return
        keys = rows.column("_key").to_pylist() if "_key" in rows.schema.names else None
        payload = rows.select([name for name in rows.schema.names if name not in SHOWN_FIRST])
        bodies = json_rows(payload, spaced=True) if payload.num_columns else iter([""] * len(places))
        for number, ((timestamp_ms, partition, offset), body) in enumerate(zip(places, bodies, strict=True)):
            line = event_line(
                f"{partition}:{offset}", cell_text(_utc(timestamp_ms)), None if keys is None else keys[number], body
            )
            if self._console.is_terminal:
                line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line, soft_wrap=True)


def _utc(timestamp_ms: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
