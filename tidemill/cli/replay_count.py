"""`tidemill replay count`: how many events, in all or by time, key or partition, with a plot."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.replay_extent import say_that_nothing_fits
from tidemill.cli.replay_options import (
    SLACK_MINUTES,
    TIMES,
    Archive,
    EveryPartition,
    From,
    Json,
    Key,
    OnError,
    OnErrorOption,
    Partitions,
    Selection,
    Slack,
    To,
    Topic,
    Where,
)
from tidemill.cli.replay_plot import bars
from tidemill.cli.replay_progress import ReplayProgress
from tidemill.cli.replay_summary import show_faults
from tidemill.cli.replay_words import count_text
from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from tidemill.replay import Scan, Tally

EPILOG = f"""
\b
Examples:
  tidemill replay count image.processed
  tidemill replay count image.processed --by hour --from 2d
  tidemill replay count image.processed --by key --top 5
  tidemill replay count image.processed --by day --where "original.format = 'png'" --json
{TIMES}
\b
Hours and days are those of UTC. Without --where nothing is decoded: tombstones and bytes that are
no event count as well.
"""


class By(StrEnum):
    """What to count by."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    KEY = "key"
    PARTITION = "partition"


SHOWN_KEYS = 20
MOST_BARS = 100_000
"""So many empty rows are put between others; where a single event has a strange time, there would be millions."""
_STEPS = {
    By.MINUTE: (timedelta(minutes=1), "%Y-%m-%d %H:%M"),
    By.HOUR: (timedelta(hours=1), "%Y-%m-%d %H:00"),
    By.DAY: (timedelta(days=1), "%Y-%m-%d %a"),
}


@command
def count(
    topic: Topic,
    by: Annotated[By | None, typer.Option("--by", "-b", help="What to count by.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the N largest; by key 20, unless this says more.")
    ] = None,
    from_: From = None,
    to: To = None,
    key: Key = None,
    where: Where = None,
    partition: Partitions = None,
    on_error: OnErrorOption = OnError.QUARANTINE,
    slack: Slack = SLACK_MINUTES,
    every_partition: EveryPartition = False,
    archive: Archive = None,
    as_json: Json = False,
) -> None:
    """How many events, with a plot by time, key or partition."""
    if top is not None and by is None:
        raise typer.BadParameter("--top needs --by.")
    scan = Selection(topic, from_, to, key, where, partition, None, on_error, slack, every_partition, archive).scan()
    counts, tally = _counted(scan, by)
    total = sum(counts.values())
    shown = counts
    if top is not None:
        shown = dict(sorted(counts.items(), key=lambda each: -each[1])[:top])
    elif by is By.KEY and not as_json:
        shown = dict([*counts.items()][:SHOWN_KEYS])
    if as_json:
        _print_json(topic, by, shown, total)
    else:
        _print(topic, by, shown, total, is_cut=top is not None)
        if len(shown) < len(counts):
            left = count_text(len(counts) - len(shown), by.value if by else "")
            err.print(f"... and {left} more (--top N)", markup=False)
    show_faults(tally)
    if not total:
        say_that_nothing_fits(scan, tally.read)


def _counted(scan: Scan, by: By | None) -> tuple[dict[Any, int], Tally]:
    from tidemill.replay.counting import count
    from tidemill.replay.tally import Tally

    last = Tally()
    with ReplayProgress() as progress:

        def show(tally: Tally, done: int, total: int) -> None:
            nonlocal last
            last = tally
            progress.show(tally.events, done, total, garbage=tally.garbage)

        counts = count(scan, None if by is None else by.value, show)
    return counts, last


def _print_json(topic: str, by: By | None, counts: dict[Any, int], total: int) -> None:
    shown: dict[str, Any] = {"topic": topic, "events": total}
    if by is not None:
        shown["by"] = by.value
        shown["counts"] = [
            {by.value: each.isoformat() if isinstance(each, datetime) else each, "events": number}
            for each, number in counts.items()
        ]
    print_json(shown)


def _print(topic: str, by: By | None, counts: dict[Any, int], total: int, *, is_cut: bool) -> None:
    if by is not None and total:
        rows = _labelled(by, counts, filled=not is_cut)
        for line in bars(rows, out.width):
            out.print(line, soft_wrap=True)
        out.print()
    out.print(f"{count_text(total, 'event')} in {topic}", markup=False, soft_wrap=True)


def _labelled(by: By, counts: dict[Any, int], *, filled: bool) -> list[tuple[str, int]]:
    if by not in _STEPS:
        return [("(no key)" if each is None else str(each), number) for each, number in counts.items()]
    step, form = _STEPS[by]
    first, last = min(counts), max(counts)
    if filled and (last - first) // step < MOST_BARS:
        moments = [first + number * step for number in range((last - first) // step + 1)]
    else:
        moments = [*counts]
    return [(f"{moment:{form}}", counts.get(moment, 0)) for moment in moments]
