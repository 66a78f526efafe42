"""A scan reads what was committed between two offsets or times, all of it and no more, and it ends."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.integration.replay_topics import READING, RawTopic, moment, places, slowly
from tests.integration.working import prepare, publish, settle
from tidemill import broker
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import BrokerError, ConfigError, DecodeError
from tidemill.events import ImageRequested
from tidemill.replay import Gap, scan

HOUR_MS = 3_600_000
NOON_MS = 1_795_000_000_000


def numbers(table: Any) -> list[int]:
    return sorted(table.column("number").to_pylist())


def test_it_ends_where_the_topic_ended_when_it_was_planned(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=3)
    for partition in (0, 2):
        topic.send(map(topic.reading, range(10)), partition=partition)
    scan = topic.scan()
    run = scan.run(plan=scan.plan())
    topic.send(map(topic.reading, range(100, 110)))
    rows = [row for piece in run.pieces() for row in piece.batch.to_pylist()]
    assert sorted((row["_partition"], row["_offset"], row["number"]) for row in rows) == [
        (partition, number, number) for partition in (0, 2) for number in range(10)
    ]
    assert run.tally.read == run.tally.events == 20


def test_transactions_that_end_a_partition_are_no_events_and_no_wait(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=4)
    for partition, is_kept in ((0, True), (1, False)):
        topic.send(map(topic.reading, range(5)), partition=partition)
        with topic.transaction(commit=is_kept) as producer:
            topic.send(map(topic.reading, range(10, 15)), partition=partition, producer=producer)
    with topic.transaction(commit=False) as producer:
        topic.send(map(topic.reading, range(5)), partition=2, producer=producer)
    topic.send(map(topic.reading, range(5)), partition=3)
    settle(settings, topic.name)
    still_open = topic.open_transaction()
    topic.send([topic.reading(77)], partition=3, producer=still_open)
    topic.send([topic.reading(78)], partition=3)
    began = time.monotonic()
    table = topic.scan().to_arrow()
    assert time.monotonic() - began < 10
    # Behind a transaction that is open nothing is committed yet.
    expected = [(0, each) for each in (*range(5), *range(5, 10))] + [(each, n) for each in (1, 3) for n in range(5)]
    assert places(table) == sorted(expected)
    assert places(table) == [(each.partition, each.offset) for each in slowly(settings, topic.name)]
    still_open.abort_transaction(10)


def test_a_range_in_time_has_all_events_of_it_though_their_timestamps_are_out_of_order(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=2)
    chance = random.Random(7)
    for partition in (0, 1):
        # Events come up to five minutes later than they say.
        times = [NOON_MS + number * 60_000 - chance.randrange(300_000) for number in range(200)]
        topic.send(map(topic.reading, range(200)), partition=partition, timestamps=times)
    start, end = NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS
    table = topic.scan(moment(start), moment(end)).to_arrow()
    expected = [each for each in slowly(settings, topic.name) if start <= each.timestamp_ms < end]
    assert 100 < len(expected) < 140
    assert places(table) == [(each.partition, each.offset) for each in expected]
    # Without slack those behind the first one at the end are not found: that is what it is for.
    assert topic.scan(moment(start), moment(end)).count() == {None: len(expected)}


def test_every_codec_and_a_topic_that_stamps_by_itself(settings: Settings) -> None:
    topic = RawTopic(settings, message_timestamp_type="LogAppendTime")
    before_ms = int(time.time() * 1000)
    for place, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        producer = topic.producer(compression_type=codec)
        values = [topic.reading(place * 100 + number, "x" * 500) for number in range(100)]
        topic.send(values, producer=producer, timestamps=[NOON_MS] * 100)
    table = topic.scan().to_arrow()
    assert numbers(table) == [*range(500)]
    stamps = [each.timestamp() * 1000 for each in table.column("_timestamp").to_pylist()]
    assert before_ms - 1 <= min(stamps) <= max(stamps) <= time.time() * 1000 + 1
    assert topic.scan("1h").count() == {None: 500}
    assert topic.scan(None, "1h").count() == {None: 0}


def test_keys_and_values_of_any_kind(settings: Settings) -> None:
    topic = RawTopic(settings)
    for key in (None, b"a", "ü".encode(), b"\xff\x00", b""):
        topic.send([topic.reading(1), None], key=key)
    scan = topic.scan()
    table = scan.to_arrow()
    assert table.column("_key").to_pylist() == [None, "a", "ü", "�\0", ""]
    assert scan.tally.tombstones == 5
    assert scan.tally.read == 10
    raw = topic.scan(columns=["_key", "_value"]).to_arrow()
    assert raw.num_rows == 10, "without columns of the payload nothing is decoded, and tombstones are rows"
    assert topic.scan(keys=[b"\xff\x00"], prune=False).to_arrow().num_rows == 1
    assert [event.payload for event in topic.scan(columns="_offset")] == [{"number": 1, "text": "text 1"}] * 5


def test_versions_old_and_new_become_one(settings: Settings) -> None:
    topic = RawTopic(settings)
    added = {"name": "added", "type": ["null", "double"], "default": None}
    later = topic.register({**READING, "fields": [*READING["fields"], added]})
    old = [topic.encode({"number": n, "text": "old"}, topic.schema_id) for n in range(50)]
    new = [topic.encode({"number": n, "text": "new", "added": n / 2}, later) for n in range(50)]
    topic.send([value for pair in zip(old, new, strict=True) for value in pair])
    for fast in (True, False):
        table = topic.scan(fast=fast).to_arrow()
        assert table.column("_offset").to_pylist() == [*range(100)]
        assert table.column("number").to_pylist() == [n for n in range(50) for _ in range(2)]
        assert table.column("added").to_pylist() == [value for n in range(50) for value in (None, n / 2)]
        assert {*table.column("_schema_id").to_pylist()} == {topic.schema_id, later}


def test_offsets_by_partition_and_no_others(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=3)
    for partition in range(3):
        topic.send(map(topic.reading, range(20)), partition=partition)
    table = topic.scan({0: 5, 2: 19}, {0: 8, 2: 100}).to_arrow()
    assert places(table) == [(0, 5), (0, 6), (0, 7), (2, 19)]
    assert places(topic.scan("1:18").to_arrow()) == [(1, 18), (1, 19)]
    with pytest.raises(ConfigError, match=r"no partition 3.*"):
        topic.scan({3: 0}).to_arrow()
    with pytest.raises(ConfigError, match="doesn't reach so far"):
        topic.scan({0: 21}).to_arrow()


def test_no_group_is_made(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=2)
    topic.send(map(topic.reading, range(10)))
    admin = broker.admin_client(settings)
    before = {each.group_id for each in admin.list_consumer_groups().result(10).valid}
    topic.scan().to_arrow()
    topic.scan(where="number > 3").count("key")
    topic.scan().estimate()
    after = {each.group_id for each in admin.list_consumer_groups().result(10).valid}
    assert after == before


def test_partitions_that_come_while_reading_are_left_to_the_next_scan(settings: Settings) -> None:
    topic = RawTopic(settings)
    topic.send(map(topic.reading, range(10)))
    scan = topic.scan()
    run = scan.run()
    topic.grow(2)
    topic.send(map(topic.reading, range(10)), partition=1)
    assert sum(piece.batch.num_rows for piece in run.pieces()) == 10
    assert topic.scan().to_arrow().num_rows == 20


def test_what_retention_takes_while_reading_is_told(settings: Settings) -> None:
    topic = RawTopic(settings, partitions=2)
    for partition in (0, 1):
        topic.send(map(topic.reading, range(100)), partition=partition)
    scan = topic.scan()
    run = scan.run()
    topic.delete_records(0, 40)
    topic.delete_records(1, 100)
    got = [row for piece in run.pieces() for row in piece.batch.column("_offset").to_pylist()]
    assert got == [*range(40, 100)]
    assert sorted(run.tally.gaps, key=str) == [Gap(0, 0, 40), Gap(1, 0, 100)]
    # An explicit start that lies before the beginning is one, too; the topic's own beginning isn't.
    late = topic.scan({0: 10})
    assert late.to_arrow().num_rows == 60
    assert late.gaps == [Gap(0, 10, 40)]
    anew = topic.scan()
    assert anew.to_arrow().num_rows == 60
    assert anew.gaps == []


def test_a_reader_that_is_left_early_leaves_no_thread_and_no_connection(settings: Settings) -> None:
    topic = RawTopic(settings)
    topic.send(topic.reading(number, "x" * 2000) for number in range(20_000))
    reader = topic.scan().to_reader()
    assert reader.read_next_batch().num_rows
    assert _threads()
    del reader
    assert not _threads()


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("tidemill-replay")]


def test_a_topic_that_is_made_anew_while_it_is_read_is_told(settings: Settings) -> None:
    topic = RawTopic(settings)
    topic.send(map(topic.reading, range(100)))
    run = topic.scan().run()
    topic.delete()
    topic.create(1)
    with pytest.raises(BrokerError, match="deleted and made anew"):
        [*run.pieces()]


def test_a_condition_about_all_rows_together_is_refused(settings: Settings) -> None:
    topic = RawTopic(settings)
    topic.send(map(topic.reading, range(3)))
    with pytest.raises(ConfigError, match="about all rows together"):
        topic.scan(where="count(*) > 0").to_arrow()
    assert numbers(topic.scan(where="number % 2 = 0 and _offset < 2").to_arrow()) == [0]


def test_an_event_that_the_installed_contract_can_not_take_is_put_aside(settings: Settings) -> None:
    topic = ImageRequested.__contract__.topic
    prepare(settings, ImageRequested)
    publish(settings, [ImageRequested(source="s3://a", renditions=[])])
    with Registry(settings) as registry:
        registry.set_compatibility(f"{topic}-value", "NONE")
        number = registry.register(f"{topic}-value", json.dumps(READING)).schema_id
    producer = Producer(broker.client_config(settings))
    producer.produce(settings.qualified(topic), b"\0" + number.to_bytes(4, "big") + b"\x02\x02a")
    assert producer.flush(30) == 0
    found = scan(topic, settings=settings)
    # As rows of the schema that was registered last it can be read, and the other one can't.
    assert numbers(found.to_arrow()) == [1]
    assert [*found] == []
    assert (found.tally.read, found.tally.events, found.tally.garbage) == (2, 0, 2)
    assert len(found.quarantined) == 2
    with pytest.raises(DecodeError, match=r"partition \d+, offset \d+"):
        [*scan(topic, settings=settings, on_error="raise")]
