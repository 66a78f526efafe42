"""`tidemill replay look`: one event in full, whatever it is, as it was written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from tidemill.cli.replay_options import Json
from tidemill.cli.replay_rows import printable
from tidemill.cli.replay_words import size_text, span_text
from tidemill.cli.terminal import command, err, out, print_json
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.replay.single import Single

EPILOG = """
\b
Examples:
  tidemill replay look image.processed@3:41          partition 3, offset 41
  tidemill replay look image.requested.dead@0:7      a dead letter: its headers say why
  tidemill replay look image.processed@3:41 --json | jq .payload

\b
The payload is decoded by the schema that it was written with. Bytes that can't be decoded are
shown as they are, with the reason.

\b
Exit status: 0 if there is such an event; 5 if there is none at this offset.
"""
NONE = 5
"""Exit status where there is nothing of that name; as `tidemill job`."""
_PLACE = re.compile(r"(?P<topic>.+)@(?P<partition>\d{1,9}):(?P<offset>\d{1,18})")
SHOWN_BYTES = 512
_SHOWN_ABOVE = frozenset(
    {"ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_specversion", "tm_root", "tm_cause", "tm_replay"}
)


@command
def look(
    place: Annotated[str, typer.Argument(metavar="TOPIC@PARTITION:OFFSET", help="Where it lies, as `head` says it.")],
    as_json: Json = False,
) -> None:
    """One event in full: envelope, headers, payload."""
    from tidemill.config import load_settings
    from tidemill.replay.single import read_single

    named = _PLACE.fullmatch(place)
    if named is None:
        raise ConfigError(f"{place!r} is no place of an event.", hint="Write it as image.processed@3:41.")
    settings = load_settings()
    topic, partition, offset = named["topic"], int(named["partition"]), int(named["offset"])
    first, end = _offsets(settings, topic, partition)
    found = read_single(settings, topic, partition, offset) if first <= offset < end else None
    if found is None:
        holds = f"it holds {first} to {end - 1}" if first < end else "it is empty"
        if first <= offset < end:
            holds = "a transaction's mark or what an aborted one wrote, or compaction has removed it"
        err.print(f"There is no event at {place}: {holds}.", markup=False, soft_wrap=True)
        raise typer.Exit(NONE)
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)


def _offsets(settings: Settings, topic: str, partition: int) -> tuple[int, int]:
    """The first offset of a partition, and the one of its next event."""
    from tidemill.replay.extent import extent

    offsets = extent(settings, topic).offsets
    if partition not in offsets:
        raise ConfigError(
            f"Topic {topic!r} has no partition {partition}.", hint=f"It has {len(offsets)}: 0 to {len(offsets) - 1}."
        )
    return offsets[partition]


def _as_json(found: Single) -> dict[str, Any]:
    event, position = found.event, found.event.position
    return {
        "topic": position.topic,
        "partition": position.partition,
        "offset": position.offset,
        "timestamp_ms": position.timestamp_ms,
        "key": event.key,
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "time": event.time.isoformat(),
        "subject": event.subject,
        "root": event.root,
        "cause": event.cause,
        "replay": event.replay,
        "headers": [[name, value.decode("utf-8", "replace")] for name, value in found.headers],
        "schema_id": found.schema_id,
        "value_bytes": None if found.value is None else len(found.value),
        "payload": _plain(found.payload),
        "fault": found.fault,
    }


def _plain(payload: dict[str, Any] | None) -> Any:
    """A payload of what JSON has a form for."""
    from tidemill.replay.json_rows import json_line

    return None if payload is None else json.loads(json_line(payload))


def _show(found: Single) -> None:
    event, position = found.event, found.event.position
    moment = datetime.fromtimestamp(position.timestamp_ms / 1000, UTC)
    ago = (datetime.now(UTC) - moment).total_seconds()
    out.print(
        Text(printable(position.topic), "bold").append(f"  partition {position.partition}, offset {position.offset}")
    )
    when = f"{moment:%Y-%m-%d %H:%M:%S}.{position.timestamp_ms % 1000:03} UTC"
    rows = {
        "timestamp": f"{when} ({span_text(ago)} ago)" if ago >= 0 else when,
        "key": "(no key)" if event.key is None else event.key,
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "published": f"{event.time:%Y-%m-%d %H:%M:%S}.{event.time.microsecond // 1000:03} UTC",
        "subject": event.subject,
        "job": event.root,
        "cause": event.cause,
        "replay": event.replay,
        "value": "none: a tombstone" if found.value is None else size_text(len(found.value)),
    }
    if found.schema_id:
        rows["schema"] = f"id {found.schema_id}"
    rows |= {name: value.decode("utf-8", "replace") for name, value in found.headers if name not in _SHOWN_ABOVE}
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(Text(f"  {printable(name)}"), Text(printable(value)))
    out.print(table)
    if found.fault is not None:
        out.print("\n[red]can't be decoded:[/] ", end="")
        out.print(Text(printable(found.fault)), soft_wrap=True)
        _show_bytes(found.value or b"")
    elif found.payload is not None:
        text = json.dumps(_plain(found.payload), indent=2, ensure_ascii=False)
        out.print()
        out.print(JSONHighlighter()("\n".join(map(printable, text.split("\n")))), soft_wrap=True)


def _show_bytes(value: bytes) -> None:
    for at in range(0, min(len(value), SHOWN_BYTES), 16):
        row = value[at : at + 16]
        letters = "".join(chr(each) if 32 <= each < 127 else "." for each in row)
        out.print(Text(f"  {at:06x}  {row.hex(' '):47}  {letters}"))
    if len(value) > SHOWN_BYTES:
        out.print(f"  ... and {len(value) - SHOWN_BYTES:,} bytes more")
