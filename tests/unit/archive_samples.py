"""An archive without Kafka: files made of messages by hand, in a folder or in a bucket's stand-in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from consumers.archive.committing import Committer
from consumers.archive.files import Files, Made, notes_of
from consumers.archive.rows import Rows
from consumers.archive.settings import load_archive_settings
from tests.unit.sample_message import SampleMessage
from tidemill.contracts.registry import Registered
from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError
from tidemill.replay.lake import Entry, Lake, LakeFile
from tidemill.replay.schemas import Writers
from tidemill.replay.slices import Slice

TOPIC = "step.asked"
TOPIC_ID = "the-first"
DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
"""Noon of the 4th of October 2024."""
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "StepAsked",
    "fields": [{"name": "number", "type": "int"}, {"name": "note", "type": "string", "default": ""}],
}


class OneSchema:
    """A registry that knows schema 7."""

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id != 7:
            raise DecodeError(f"There is no schema {schema_id}.")
        return SCHEMA

    def latest(self, subject: str) -> Registered | None:
        return None

    def lookup_id(self, subject: str, schema_json: str) -> int:
        return 7


def value_of(number: int) -> bytes:
    """The bytes of a step; 0 to 63."""
    return b"\0\0\0\0\x07" + bytes([2 * number, 2]) + b"x"


def message(offset: int, *, partition: int = 0, timestamp_ms: int = NOON_MS, **more: Any) -> SampleMessage:
    """An event."""
    fields = {"with_value": value_of(offset % 64), "with_key": f"lane-{offset % 3}".encode(), **more}
    return SampleMessage(
        at_offset=offset, in_partition=partition, timestamp_ms=timestamp_ms + offset, in_topic=TOPIC, **fields
    )


def slice_of(messages: Sequence[SampleMessage]) -> Slice:
    """The slice that these messages would be fetched as."""
    return Slice(
        [each.in_partition for each in messages],
        [each.at_offset for each in messages],
        [each.timestamp_ms for each in messages],
        [each.with_key for each in messages],
        [each.with_value for each in messages],
        cast("Any", [*messages]),
        sum(len(each.with_value or b"") for each in messages),
        len(messages),
        {each.in_partition: each.at_offset + 1 for each in messages},
    )


def rows() -> Rows:
    """What makes rows of steps."""
    return Rows(WriterSchema(7, SCHEMA), Writers(OneSchema()))


def made_of(messages: Sequence[SampleMessage]) -> list[Made]:
    """Finished files of messages, on this machine's disk."""
    making = rows()
    files = Files(
        Path(tempfile.mkdtemp(dir=_scratch.name)),
        making.schemas,
        notes_of(TOPIC, TOPIC_ID, SCHEMA),
        load_archive_settings(),
    )
    for part in making.parts(slice_of(messages)):
        files.add(part)
    return files.finish()


_scratch = tempfile.TemporaryDirectory(prefix="tidemill-archive-samples-")


def committer(lake: Lake) -> Committer:
    """One that has just read the log."""
    return Committer(lake, TOPIC, lake.state(TOPIC))


def commit(lake: Lake, start: int, end: int, *, partition: int = 0, topic_id: str = TOPIC_ID, **more: Any) -> Entry:
    """Archive the offsets of a partition, as an archiver would that does nothing else."""
    made = made_of([message(offset, partition=partition, **more) for offset in range(start, end)])
    return committer(lake).commit(made, topic_id=topic_id, offsets={partition: (start, end)})


def visible(lake: Lake) -> list[str]:
    """Names that readers by glob see."""
    return sorted(name_of(lake, each.uri) for each in lake.store.list() if name_of(lake, each.uri).startswith("topic="))


def name_of(lake: Lake, uri: str) -> str:
    """An object's name below the archive."""
    from tidemill.store import Location

    return "/".join(Location.parse(uri).below(lake.store.home))


def names(files: Sequence[LakeFile]) -> list[str]:
    """Names of files."""
    return sorted(file.name for file in files)
