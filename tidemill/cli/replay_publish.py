"""`tidemill replay publish`: a part of a topic again, into another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.replay_again import command_again
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
    Partitions,
    Selection,
    Slack,
    To,
    Topic,
    Where,
)
from tidemill.cli.replay_progress import ReplayProgress
from tidemill.cli.replay_words import count_text, span_text
from tidemill.cli.terminal import command, err, out, print_json
from tidemill.errors import UnknownTopic

if TYPE_CHECKING:
    from tidemill.replay import Scan

EPILOG = f"""
\b
Examples:
  tidemill replay publish image.requested --into sandbox.requested --from 1d --dry-run
  tidemill replay publish image.requested --into sandbox.requested --create --from 1d --speed 10x
  tidemill replay publish image.requested --into sandbox.requested --key s3://uploads/7.jpg
  tidemill replay publish image.requested --into image.requested --same-topic --where "source like 's3://lost/%'"
{TIMES}
\b
Events keep key, headers, id and order of their key; their header tm_replay has the replay's
name. Each is published exactly once for readers of committed events, also when the replay is
stopped by whatever and resumed. Effects that were done once stay done: they go by the event's id.

\b
Exit status: 0 when all is published, 1 on an error, 130 after Ctrl-C.
"""


@command
def publish(
    context: typer.Context,
    topic: Topic,
    into: Annotated[str, typer.Option("--into", "-i", metavar="TOPIC2", help="Topic to publish to.")],
    from_: From = None,
    to: To = None,
    key: Key = None,
    where: Where = None,
    partition: Partitions = None,
    speed: Annotated[
        str,
        typer.Option(metavar="1x|10x|max", help="How many times as fast as it happened, in the order of timestamps."),
    ] = "max",
    rate: Annotated[float | None, typer.Option(min=0.001, metavar="N", help="So many events a second at most.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this replay, to resume it by; default: one is made.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the replay of this --name stopped.")] = False,
    same_topic: Annotated[
        bool, typer.Option("--same-topic", help="Allow TOPIC itself: its streams handle everything again.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Make TOPIC2 where there is none, with as many partitions as TOPIC.")
    ] = False,
    new_time: Annotated[
        bool,
        typer.Option(
            "--new-time",
            help="Give events the present timestamp; without it, those older than TOPIC2's retention are refused.",
        ),
    ] = False,
    slack: Slack = SLACK_MINUTES,
    every_partition: EveryPartition = False,
    archive: Archive = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only count what would be published, and say how long it takes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish events again, into another topic."""
    import secrets

    from tidemill.replay.pace import parse_speed
    from tidemill.replay.republish import republish
    from tidemill.replay.target import exists, make_target

    if resume and name is None:
        raise typer.BadParameter("--resume needs the --name of the replay.")
    factor = parse_speed(speed)
    named = name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    scan = Selection(
        topic, from_, to, key, where, partition, None, OnError.SKIP, slack, every_partition, archive
    ).scan()
    is_missing = create and not exists(scan.settings, into)
    if dry_run and is_missing:
        _show_plan(scan, into, sum(scan.count().values()), factor, rate, as_json=as_json, is_missing=True)
        return
    if is_missing:
        partitions = make_target(scan.settings, topic, into)
        err.print(f"made {into} with {count_text(partitions, 'partition')}", markup=False, soft_wrap=True)
    if not dry_run and not as_json:
        err.print(f"replay {named}: {topic} into {into}, {_pace_text(speed, rate)}", markup=False, soft_wrap=True)
    with _hinting(scan.settings.qualified(into)), ReplayProgress() as progress:
        done = republish(
            scan,
            into,
            name=named,
            speed=factor,
            per_second=rate,
            resume=resume,
            into_source=same_topic,
            keep_time=not new_time,
            dry_run=dry_run,
            progress=lambda events, total: progress.show(events, events, total),
        )
        seconds = progress.seconds
    if dry_run:
        _show_plan(scan, into, done.events, factor, rate, as_json=as_json)
    elif as_json:
        print_json(asdict(done) | {"seconds": round(seconds, 3)})
    else:
        mark = "[green]✓[/]" if done.complete else "[yellow]…[/]"
        per_second = f"{done.events / max(seconds, 1e-3):,.0f}/s"
        out.print(f"{mark} {count_text(done.events, 'event')} published in {span_text(seconds)} ({per_second})")
        out.print(f"  into {into}, with the header tm_replay={named}", markup=False, soft_wrap=True)
    if not done.complete:
        again = command_again(context, "--name", named, "--resume", without=("name", "resume"))
        err.print("\nInterrupted: what is published is there once. Go on with", markup=False)
        err.print(f"  {again}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130)
    if not done.events and not resume:
        say_that_nothing_fits(scan, 0)


@contextmanager
def _hinting(target: str) -> Iterator[None]:
    """Say how a topic is made that isn't there.

    Args:
        target: Its full name.
    """
    try:
        yield
    except UnknownTopic as error:
        if repr(target) in error.message:
            error.hint = f"{error.hint} With --create it is made."
        raise


def _pace_text(speed: str, rate: float | None) -> str:
    as_fast = "as fast as can be" if speed == "max" else f"at {speed.removesuffix('x')} times the speed that it had"
    return as_fast if rate is None else f"{as_fast}, {rate:g} events/s at most"


def _show_plan(
    scan: Scan,
    into: str,
    events: int,
    factor: float | None,
    rate: float | None,
    *,
    as_json: bool,
    is_missing: bool = False,
) -> None:
    """What would be published, and how long that takes at the pace that is asked for."""
    seconds = 0.0 if rate is None else events / rate
    if factor is not None and events:
        seconds = max(seconds, _span_seconds(scan) / factor)
    paced = factor is not None or rate is not None
    if as_json:
        print_json({"into": into, "events": events, "paced_seconds": round(seconds, 3) if paced else None})
        return
    takes = f", about {span_text(seconds)} at this pace" if paced else ""
    made = ", which would be made" if is_missing else ""
    told = f"{count_text(events, 'event')} would go into {into}{made}{takes}; nothing was published"
    out.print(told, markup=False, soft_wrap=True)


def _span_seconds(scan: Scan) -> float:
    """From the first to the last event."""
    from tidemill.replay.outermost import outermost

    ends = [outermost(scan, 1, last=last).places for last in (False, True)]
    return (ends[1][0][0] - ends[0][0][0]) / 1000 if all(ends) else 0.0
