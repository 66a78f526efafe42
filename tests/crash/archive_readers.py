"""How the archive and its topic are read to be compared: plainly, event by event, by three other readers than ours."""

from __future__ import annotations

import time
import uuid
from typing import Any

import duckdb
from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.integration.working import ends
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import headers_of
from tidemill.replay.archived import Archived
from tidemill.replay.lake import Lake
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Range

Place = tuple[int, int]
"""Partition and offset."""


def slow_reader(settings: Settings, topic: str) -> dict[Place, Any]:
    """All committed events of a topic, by one poll each: what Kafka's own client says is there."""
    name, there = settings.qualified(topic), ends(settings, topic)
    consumer = Consumer(
        {
            **broker.consumer_config(settings, f"slow.{uuid.uuid4().hex[:8]}"),
            "group.protocol": "classic",
            "enable.partition.eof": True,
        }
    )
    found: dict[Place, Any] = {}
    left = {number for number, end in there.items() if end}
    consumer.assign([TopicPartition(name, number, 0) for number in left])
    deadline = time.monotonic() + 120
    while left:
        assert time.monotonic() < deadline, f"partitions {left} of {name} can't be read to the end"
        message = consumer.poll(0.5)
        if message is None:
            continue
        error = message.error()
        if error is not None:
            # A transaction whose commit was only just answered ends a moment later: there is an end before it.
            number = message.partition() or 0
            if error.code() == KafkaError._PARTITION_EOF and (message.offset() or 0) >= there[number]:
                left.discard(number)
            continue
        place = message.partition() or 0, message.offset() or 0
        assert place not in found
        found[place] = (message.timestamp()[1], message.key(), message.value(), headers_of(message))
    consumer.close()
    return found


def archived_events(settings: Settings, topic: str) -> list[tuple[Place, Any]]:
    """All events of the archive, as its log says."""
    lake, name = Lake.from_settings(settings), settings.qualified(topic)
    state = lake.state(name)
    query = make_query(topic)
    ranges = [Range(number, state.began[number], end) for number, end in sorted(state.next_offsets.items())]
    slices = Archived(lake, name, query, ranges, values=True, messages=True).slices()
    return [
        (
            (message.partition() or 0, message.offset() or 0),
            (message.timestamp()[1], message.key(), message.value(), headers_of(message)),
        )
        for taken in slices
        for message in taken.messages
    ]


def glob_of(settings: Settings, topic: str) -> str:
    """The files of a topic, as readers know them that know nothing of the log."""
    folder = settings.state_dir / "objects" / "archive" / f"topic={settings.qualified(topic)}"
    return f"{folder}/date=*/*.parquet"


def doubles_in_duckdb(glob: str) -> int:
    """How many events DuckDB sees again that it has seen."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(*) - count(DISTINCT _partition * 1000000000000 + _offset) "
            "FROM read_parquet(?, union_by_name = true)",
            [glob],
        ).fetchone()
    return int(found[0]) if found else 0


def doubles_in_polars(glob: str) -> int:
    """How many events Polars sees again that it has seen."""
    import polars

    frame = polars.scan_parquet(glob).select("_partition", "_offset").collect()
    return frame.height - frame.unique().height
