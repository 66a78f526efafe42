"""Events are published again as they were, each exactly once, whatever happens to whoever publishes them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.integration.commands import command_environment
from tests.integration.replay_topics import RawTopic, slowly
from tests.integration.working import ends, settle, wait_until
from tidemill.config import Settings
from tidemill.errors import BrokerError, ConfigError, UnknownTopic
from tidemill.partitioning import partition_of
from tidemill.replay.republish import republish

KILLS = int(os.environ.get("TIDEMILL_REPLAY_KILLS", "1"))
# Well within a topic's ordinary retention.
LATELY_MS = int(time.time() * 1000) - 3_600_000


def fill(topic: RawTopic, count: int) -> None:
    """Events with keys, headers and times of their own, some without a value, some that aren't Avro."""
    producer = topic.producer()
    for number in range(count):
        value = None if number % 10 == 3 else b"garbage" if number % 10 == 4 else topic.reading(number)
        key = f"key {number % 7}".encode()
        headers: list[Any] = [("ce_id", f"id {number}".encode()), ("twice", b"1"), ("twice", None)]
        place = partition_of(key, topic.partitions)
        producer.produce(topic.full_name, value, key, place, timestamp=LATELY_MS + number * 10, headers=headers)
    assert producer.flush(30) == 0


@dataclass(frozen=True)
class Event:
    """All of a message but its offset, which transactions have a part in."""

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def id(self) -> str:
        return (dict(self.headers)["ce_id"] or b"").decode()


def content(topic: RawTopic) -> list[Event]:
    """What readers of committed events see."""
    settle(topic.settings, topic.name)
    return [
        Event(each.partition, each.key, each.value, each.timestamp_ms, tuple(each.headers))
        for each in slowly(topic.settings, topic.name)
    ]


def marked(found: list[Event], name: str) -> list[Event]:
    return [replace(each, headers=(*each.headers, ("tm_replay", name.encode()))) for each in found]


def test_all_of_an_event_is_kept_and_it_is_marked(settings: Settings) -> None:
    source, same, fewer = (RawTopic(settings, partitions) for partitions in (3, 3, 2))
    fill(source, 50)
    done = republish(source.scan(), same.name, name="again")
    assert (done.events, done.complete) == (50, True)
    assert content(same) == marked(content(source), "again")
    republish(source.scan(), fewer.name, name="elsewhere")
    # With other partitions, an event goes where its key belongs.
    moved = content(fewer)
    assert len(moved) == 50
    assert all(each.partition == partition_of(each.key or b"", 2) for each in moved)
    for key in {each.key for each in moved}:
        ids = [each.id for each in content(source) if each.key == key]
        assert [each.id for each in moved if each.key == key] == ids


def test_what_was_replayed_before_has_one_mark_and_only_what_was_asked_for_goes(settings: Settings) -> None:
    source, target = RawTopic(settings), RawTopic(settings)
    fill(source, 20)
    republish(source.scan(), target.name, name="first")
    republish(target.scan(where="number >= 5 and number < 9"), source.name, name="second")
    found = content(source)[20:]
    assert [each.id for each in found] == ["id 5", "id 6", "id 7", "id 8"]
    assert [[value for name, value in each.headers if name == "tm_replay"] for each in found] == [[b"second"]] * 4
    assert republish(source.scan(keys="key 1"), target.name, name="third", dry_run=True).events == 4
    assert len(content(target)) == 20


def test_with_a_speed_events_of_all_partitions_come_in_the_order_of_time(settings: Settings) -> None:
    source = RawTopic(settings, partitions=3)
    target = RawTopic(settings, message_timestamp_type="LogAppendTime")
    fill(source, 60)
    began = time.monotonic()
    assert republish(source.scan(), target.name, name="fast", speed=2.0).complete
    assert time.monotonic() - began >= 0.59 / 2
    found = content(target)
    assert [each.id for each in found] == [f"id {number}" for number in range(60)]
    stamps = [each.timestamp_ms for each in found]
    # 590 ms at twice the speed; a broker stamps whole batches.
    assert stamps[-1] - stamps[0] >= 200


def test_the_topic_that_is_read_and_names_in_use_are_refused(settings: Settings) -> None:
    source, target = RawTopic(settings), RawTopic(settings)
    fill(source, 5)
    with pytest.raises(ConfigError, match="is the topic that is read"):
        republish(source.scan(), source.name, name="again")
    with pytest.raises(UnknownTopic):
        republish(source.scan(), "no.such.topic", name="again")
    with pytest.raises(ConfigError, match="There is no replay"):
        republish(source.scan(), target.name, name="again", resume=True)
    republish(source.scan(), target.name, name="again")
    with pytest.raises(ConfigError, match="There was a replay"):
        republish(source.scan(), target.name, name="again")
    assert republish(source.scan(), target.name, name="again", resume=True).events == 0
    assert len(content(target)) == 5
    assert republish(source.scan(), source.name, name="loop", into_source=True).events == 5


def test_what_the_target_would_delete_at_once_is_refused(settings: Settings) -> None:
    source, target = RawTopic(settings), RawTopic(settings, retention_ms="600000")
    fill(source, 5)
    with pytest.raises(BrokerError, match="it would be deleted at once") as raised:
        republish(source.scan(), target.name, name="late")
    assert "longer retention" in (raised.value.hint or "")
    assert content(target) == []
    assert republish(source.scan(), target.name, name="late", keep_time=False).events == 5
    assert min(each.timestamp_ms for each in content(target)) > LATELY_MS + 3_000_000


def start(source: RawTopic, target: RawTopic, *arguments: str) -> subprocess.Popen[str]:
    where = [source.name, target.name, "again", "0.05"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.replay_publisher", *where, *arguments],
        env={**os.environ, **command_environment(source.settings)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(target: RawTopic, count: int, process: subprocess.Popen[str]) -> None:
    wait_until(
        lambda: sum(ends(target.settings, target.name).values()) >= count or process.poll() is not None,
        f"{count} events are published again",
    )


def test_after_a_kill_it_goes_on_with_none_lost_and_none_doubled(settings: Settings) -> None:
    source, target = RawTopic(settings, partitions=2), RawTopic(settings, partitions=2)
    fill(source, 4_000)
    chance, begun = random.Random(), list[str]()
    for _ in range(KILLS):
        before = sum(ends(settings, target.name).values())
        process = start(source, target, *begun)
        try:
            wait_for(target, before + chance.randrange(1, 400), process)
        finally:
            process.kill()
            process.communicate()
        begun = ["--resume"]
    assert republish(source.scan(), target.name, name="again", resume=True).complete
    assert content(target) == marked(content(source), "again")


def test_one_that_slept_while_another_took_over_can_publish_nothing_more(settings: Settings) -> None:
    source, target = RawTopic(settings), RawTopic(settings)
    fill(source, 3_000)
    sleeper = start(source, target)
    wait_for(target, 200, sleeper)
    sleeper.send_signal(signal.SIGSTOP)
    try:
        assert republish(source.scan(), target.name, name="again", resume=True).complete
    finally:
        sleeper.send_signal(signal.SIGCONT)
    _, problem = sleeper.communicate(timeout=60)
    assert sleeper.returncode != 0
    assert "The replay 'again' stopped after" in problem
    assert content(target) == marked(content(source), "again")
