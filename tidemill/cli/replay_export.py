"""`tidemill replay export`: a part of a topic as a file, or as lines on standard output."""

from __future__ import annotations

import sys
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.replay_again import command_again
from tidemill.cli.replay_extent import say_that_nothing_fits
from tidemill.cli.replay_options import (
    SLACK_MINUTES,
    TIMES,
    Archive,
    Columns,
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
from tidemill.cli.replay_progress import ReplayProgress
from tidemill.cli.replay_summary import Summary, show_estimate, show_faults, show_summary
from tidemill.cli.terminal import command, err

if TYPE_CHECKING:
    from tidemill.replay import Scan

EPILOG = f"""
\b
Examples:
  tidemill replay export image.processed --out pictures.parquet
  tidemill replay export image.processed --from 7d --to today --columns source,_timestamp -o week.csv
  tidemill replay export image.processed --where "original.width > 4000" --out large.ndjson
  tidemill replay export email.sent --key ada@example.com --out - | jq .message_id
  tidemill replay export image.processed --out pictures.parquet --resume    what came since
  tidemill replay export image.processed --from 30d --out month.parquet --dry-run
{TIMES}
\b
Ctrl-C leaves a valid file, and --resume goes on exactly behind it. What can't be read is
put aside in FILE.quarantine.ndjson, with its offset and the reason.

Exit status: 0 when all that was asked for is written, 1 on an error, 130 after Ctrl-C.
"""


class Format(StrEnum):
    """File formats."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    NDJSON = "ndjson"


@command
def export(
    context: typer.Context,
    topic: Topic,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Its ending says the format; - is standard output."),
    ] = None,
    from_: From = None,
    to: To = None,
    key: Key = None,
    where: Where = None,
    partition: Partitions = None,
    columns: Columns = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Where the ending doesn't say it; default for -: ndjson.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on behind what an earlier export wrote into this file.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a file that exists.")] = False,
    on_error: OnErrorOption = OnError.QUARANTINE,
    slack: Slack = SLACK_MINUTES,
    every_partition: EveryPartition = False,
    archive: Archive = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--estimate", "-n", help="Only say how much it is and about how long it takes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write events into a Parquet, Arrow, CSV or NDJSON file."""
    from tidemill.replay.files import format_of

    if resume and replace:
        raise typer.BadParameter("Give either --resume or --replace.")
    scan = Selection(topic, from_, to, key, where, partition, columns, on_error, slack, every_partition, archive).scan()
    if dry_run:
        show_estimate(scan, as_json=as_json)
        return
    if out is None:
        raise typer.BadParameter("Give the file with --out; - is standard output.")
    if out == "-":
        _check_stream(format_, resume=resume, replace=replace, json=as_json)
        _stream(scan, (format_ or Format.NDJSON).value)
        return
    path = Path(out)
    chosen = format_.value if format_ is not None else format_of(path)
    summary = _export(scan, path, chosen, resume=resume, replace=replace)
    show_summary(summary, as_json=as_json)
    if not summary.complete:
        again = command_again(context, "--resume", without=("replace",))
        err.print("\nInterrupted: the file is valid as it is. Go on with", markup=False)
        err.print(f"  {again}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130)
    if not summary.tally.events and not resume:
        say_that_nothing_fits(scan, summary.tally.read)


def _export(scan: Scan, path: Path, format_: str, *, resume: bool, replace: bool) -> Summary:
    from tidemill.replay.export import export
    from tidemill.replay.tally import Tally

    with ReplayProgress() as progress:

        def show(tally: Tally, done: int, total: int) -> None:
            progress.show(tally.events, done, total, garbage=tally.garbage)

        done = export(scan, path, format_, resume=resume, replace=replace, progress=show)
        return Summary(done.path, done.tally, done.events, done.complete, progress.seconds)


def _stream(scan: Scan, format_: str) -> None:
    """Write rows to standard output, as they are read."""
    from tidemill.replay.formats import CsvWriter, NdjsonWriter

    stream = sys.stdout.buffer
    writer = CsvWriter(stream, scan.schema) if format_ == "csv" else NdjsonWriter(stream, scan.schema)
    run = scan.run()
    with closing(run.pieces()) as pieces:
        for piece in pieces:
            if piece.batch.num_rows:
                writer.write(piece.batch)
                # Whoever reads it may read on already.
                stream.flush()
    writer.close()
    stream.flush()
    tally = run.tally
    show_faults(tally)
    if not tally.events:
        say_that_nothing_fits(scan, tally.read)


def _check_stream(format_: Format | None, **refused: bool) -> None:
    """What makes no sense on standard output."""
    for name, given in refused.items():
        if given:
            raise typer.BadParameter(f"--{name} needs a file; --out - writes to standard output.")
    if format_ in (Format.PARQUET, Format.ARROW):
        raise typer.BadParameter(f"{format_.value} needs a file; standard output takes ndjson or csv.")
