"""`tidemill replay head`: the first events of a part of a topic, to see what they look like."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.replay_extent import say_that_nothing_fits
from tidemill.cli.replay_options import (
    SLACK_MINUTES,
    TIMES,
    Archive,
    Columns,
    EveryPartition,
    From,
    JsonLines,
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
from tidemill.cli.replay_rows import PLACE, show_rows
from tidemill.cli.replay_summary import show_faults
from tidemill.cli.terminal import command

if TYPE_CHECKING:
    from tidemill.replay.outermost import Outermost

EPILOG = f"""
\b
Examples:
  tidemill replay head image.processed
  tidemill replay head image.processed -n 3 --from 2h --columns source,dominant_color
  tidemill replay head image.processed --where "original.format = 'png'" --json | jq .original
{TIMES}
\b
PLACE is what `tidemill replay look TOPIC@PLACE` takes.
"""


@command
def head(
    topic: Topic,
    count: Annotated[int, typer.Option("-n", "--count", min=0, metavar="N", help="How many.")] = 10,
    from_: From = None,
    to: To = None,
    key: Key = None,
    where: Where = None,
    partition: Partitions = None,
    columns: Columns = None,
    on_error: OnErrorOption = OnError.QUARANTINE,
    slack: Slack = SLACK_MINUTES,
    every_partition: EveryPartition = False,
    archive: Archive = None,
    as_json: JsonLines = False,
) -> None:
    """The first events, by time."""
    from tidemill.replay.outermost import outermost

    scan = Selection(topic, from_, to, key, where, partition, columns, on_error, slack, every_partition, archive).scan()
    found = outermost(scan, count)
    if as_json:
        write_json(found.rows)
    elif found.places:
        show_found(found, all_columns=columns is None)
    show_faults(found.tally)
    if not found.places and count:
        say_that_nothing_fits(scan, found.tally.read)


def write_json(rows: Any) -> None:
    """Rows of a `pyarrow.Table` on standard output, an object a line."""
    from tidemill.replay.json_rows import json_rows

    for batch in rows.to_batches():
        sys.stdout.writelines(f"{line}\n" for line in json_rows(batch))
    sys.stdout.flush()


def show_found(found: Outermost, *, all_columns: bool) -> None:
    """Rows as a table: place, time and key before the rest.

    Args:
        found: The rows.
        all_columns: Nobody has chosen columns.
    """
    import pyarrow as pa

    rows = found.rows
    places = [f"{partition}:{offset}" for _, partition, offset in found.places]
    rows = rows.append_column(PLACE, pa.array(places, pa.string()))
    names = [name for name in rows.column_names if name != PLACE]
    if all_columns:
        first = ("_timestamp", "_key")
        last = ("_partition", "_offset", "_schema_id")
        names = [*first, *(name for name in names if name not in first + last)]
    numbers = {
        field.name for field in rows.schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }
    show_rows(rows, [PLACE, *names], right=frozenset(numbers))
