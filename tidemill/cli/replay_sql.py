"""`tidemill replay sql`: a question over topics, as a table, lines or a file."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.replay_options import (
    SLACK_MINUTES,
    TIMES,
    Archive,
    From,
    JsonLines,
    Key,
    OnError,
    OnErrorOption,
    Slack,
    To,
    from_archive,
)
from tidemill.cli.replay_progress import ReplayProgress
from tidemill.cli.replay_rows import show_rows
from tidemill.cli.replay_summary import show_faults
from tidemill.cli.replay_words import count_text, size_text, span_text
from tidemill.cli.terminal import command, err, out
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.replay.sql import Answer

EPILOG = f"""
\b
Examples:
  tidemill replay sql 'select original.format, count(*) from "image.processed" group by all'
  tidemill replay sql 'from "image.processed" where original.width > 4000' --from 7d --out large.parquet
  tidemill replay sql 'select r.source, p._timestamp - r._timestamp as took
      from "image.requested" r join "image.processed" p on p._cause = r._id order by took desc limit 10'
  tidemill replay sql 'select count(*) from "email.sent" where _timestamp > now() - interval 2 hours' --json

\b
Topics are the tables, with the columns of `replay head` and, when they are named, _headers, _id,
_time, _root, _cause, _replay and _value. The SQL is DuckDB's; files can be joined: from 'week.parquet'.
Only the columns that are needed are decoded; conditions on _partition and on how early _timestamp is
narrow what is read, and so do --from, --to and --key, which hold for every topic of the query.
{TIMES}"""
SHOWN_ROWS = 100


@command
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; - reads it from standard input.")],
    from_: From = None,
    to: To = None,
    key: Key = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many rows to show as a table; --json and --out give all.")
    ] = SHOWN_ROWS,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Into a Parquet, Arrow, CSV or NDJSON file.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a file that exists.")] = False,
    on_error: OnErrorOption = OnError.QUARANTINE,
    slack: Slack = SLACK_MINUTES,
    archive: Archive = None,
    as_json: JsonLines = False,
) -> None:
    """Ask topics in SQL."""
    from tidemill.replay.files import format_of
    from tidemill.replay.sql import sql

    if output is not None and as_json:
        raise typer.BadParameter("Give either --out or --json.")
    format_ = None if output is None else format_of(output)
    if output is not None and output.exists() and not replace:
        raise ConfigError(f"{output} exists.", hint="Overwrite it with --replace, or choose another name.")
    statement = sys.stdin.read() if query == "-" else query
    with (
        ReplayProgress() as progress,
        sql(
            statement,
            from_,
            to,
            keys=key or None,
            on_error=on_error.value,
            slack=timedelta(minutes=slack),
            archive=from_archive(archive),
            progress=progress.show,
        ) as answer,
    ):
        if as_json:
            _write_json(answer)
        elif output is not None:
            assert format_ is not None
            _write_file(answer, output, format_, progress)
        else:
            _show(answer, limit, progress)
        show_faults(answer.tally)


def _write_json(answer: Answer) -> None:
    from tidemill.replay.json_rows import json_rows

    for batch in answer.batches():
        sys.stdout.writelines(f"{line}\n" for line in json_rows(batch))
    sys.stdout.flush()


def _write_file(answer: Answer, path: Path, format_: str, progress: ReplayProgress) -> None:
    from tidemill.replay.files import write_file

    rows = write_file(path, format_, answer.schema, answer.batches())
    progress.stop()
    tally = answer.tally
    read = f"{count_text(tally.read, 'event')} read in {span_text(progress.seconds)}"
    out.print(f"[green]✓[/] {count_text(rows, 'row')}; {read}")
    out.print(f"  {path}, {size_text(path.stat().st_size)}", markup=False, soft_wrap=True)


def _show(answer: Answer, limit: int, progress: ReplayProgress) -> None:
    import pyarrow as pa

    held: list[Any] = []
    rows = 0
    for batch in answer.batches():
        held.append(batch)
        rows += batch.num_rows
        if rows > limit:
            break
    progress.stop()
    table = pa.Table.from_batches(held, answer.schema)
    numbers = {
        field.name
        for field in table.schema
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
    }
    if rows:
        names = [name or f"column{place}" for place, name in enumerate(table.column_names)]
        show_rows(table.slice(0, limit).rename_columns(names), names, right=frozenset(numbers))
    else:
        err.print("No rows.")
    if rows > limit:
        err.print(f"... and more: the first {limit:,} rows are shown (--limit, --json, --out).", soft_wrap=True)
