"""For the tests of the archive: steps of several days and kinds on a topic, archived, and commands about them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer, TopicPartition
from typer.testing import CliRunner, Result

from consumers.archive.archiver import Archiver, Round
from consumers.archive.command import app
from consumers.archive.compacting import Compacted, Compactor
from consumers.archive.settings import load_archive_settings
from consumers.archive.verification import Verified, verify
from tests.integration.commands import command_environment
from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import WAIT_SECONDS
from tidemill import broker, replay
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.replay.lake import Lake

TOPIC = StepAsked.__contract__.topic
DAY_MS = 86_400_000
EVERYTHING = ("*", "_partition", "_offset", "_timestamp", "_key", "_schema_id", "_id", "_headers", "_value")


def yesterday_ms() -> int:
    """Its last minute but ten, UTC: events of an hour from then on are of two days."""
    return time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 10 * 60_000


def fill(
    settings: Settings,
    count: int,
    *,
    start_ms: int,
    every_ms: int = 1,
    partition: int = 0,
    values: Sequence[bytes | None] | None = None,
) -> None:
    """Put steps onto one partition, or these values; their timestamps go on from the start."""
    refused: list[object] = []
    producer = Producer(broker.producer_config(settings))
    with Registry(settings) as registry:
        codec = Codec(registry)
        for number in range(count):
            step = StepAsked(lane=f"lane-{number % 7}", number=number, note="x" * (number % 5))
            producer.produce(
                settings.qualified(TOPIC),
                codec.encode(step) if values is None else values[number],
                step.lane.encode(),
                partition,
                timestamp=start_ms + number * every_ms,
                headers=[("ce_id", f"id-{partition}-{start_ms}-{number}".encode())],
                on_delivery=lambda error, _: refused.append(error) if error else None,
            )
    assert producer.flush(WAIT_SECONDS) == 0
    assert refused == []


def archive(settings: Settings, **sizes: Any) -> Round:
    """One pass over the steps' topic; fails where it failed."""
    done = Archiver(settings, load_archive_settings(lease_seconds=1.0, **sizes), [TOPIC]).once()
    assert not done.failed, done.failed
    return done


def compact(settings: Settings) -> list[Compacted]:
    """Put the files together."""
    return Compactor(settings, load_archive_settings(lease_seconds=1.0), [TOPIC]).run()


def verified(settings: Settings) -> Verified:
    """What the comparison with log and topic says."""
    return verify(settings, Lake.from_settings(settings), TOPIC)


def delete_before(settings: Settings, offset: int, partitions: Sequence[int] = range(PARTITIONS)) -> None:
    """What retention does."""
    admin = broker.admin_client(settings)
    asked = [TopicPartition(settings.qualified(TOPIC), number, offset) for number in partitions]
    for answer in admin.delete_records(asked).values():
        answer.result(WAIT_SECONDS)


def table(settings: Settings, **query: Any) -> Any:
    """A scan of the topic, by partition and offset."""
    query.setdefault("columns", EVERYTHING)
    found = replay.scan(TOPIC, settings=settings, **query).to_arrow()
    return found.sort_by([("_partition", "ascending"), ("_offset", "ascending")])


def glob_of(settings: Settings) -> str:
    """The files as readers know them that know nothing of the log."""
    return f"{settings.state_dir}/objects/archive/topic={settings.qualified(TOPIC)}/date=*/*.parquet"


def run(settings: Settings, *arguments: str) -> Result:
    """Run `tidemill archive ARGUMENTS` in this process."""
    return CliRunner().invoke(app, arguments, env=command_environment(settings))


def run_json(settings: Settings, *arguments: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(run(settings, *arguments, "--json").stdout)
