"""What can't be dispatched waits and is seen; what is no delayed event is skipped; neither holds up the others."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from scheduler.delays import setbacks
from scheduler.delays.record import read_record
from tests.integration.delays_commands import Delayed
from tests.integration.delays_running import (
    Instance,
    prepare_delays,
    put_off,
    scheduling,
    until_dispatched,
    waits,
)
from tests.integration.working import wait_until
from tidemill import broker, delayed
from tidemill.config import Settings
from tidemill.partitioning import partition_of
from tidemill.topics import apply
from tidemill.topics.house import HouseTopic

SOON_SECONDS = 0.5
KEPT = {"cleanup.policy": "delete", "retention.ms": "-1"}


@pytest.fixture
def scheduler(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """A running instance that tries again soon."""
    monkeypatch.setattr(setbacks, "FIRST_SECONDS", SOON_SECONDS)
    monkeypatch.setattr(setbacks, "MOST_SECONDS", SOON_SECONDS)
    prepare_delays(settings)
    with scheduling(settings) as (instance,):
        yield instance


def test_an_event_waits_for_its_topic_and_holds_up_nobody(
    settings: Settings, scheduler: Instance, delayed_command: Delayed
) -> None:
    _wait_for(settings, "homeless", topic="later", due_seconds=-60)
    due = put_off(settings, {f"ok{number}": 0.2 for number in range(30)})
    found = until_dispatched(settings, {*due})
    for event_id, (message,) in found.items():
        assert message.timestamp()[1] / 1000 - due[event_id].timestamp() < 10.0
    shown = delayed_command("list", "--overdue")
    assert f"topic {settings.qualified('later')} doesn't exist" in shown.stdout
    assert "1 overdue" in shown.stderr
    refused = delayed_command("now", "homeless")
    assert refused.exit_code == 1
    assert "waits on" in refused.stderr
    assert "doesn't exist" in refused.stderr
    apply(settings, [], house=[HouseTopic("later", 1, "made at last", KEPT)])
    wait_until(lambda: _count(settings) == 0, "it is dispatched once its topic is there")


def test_one_event_that_is_too_large_waits_and_those_beside_it_go(
    settings: Settings, scheduler: Instance, delayed_command: Delayed
) -> None:
    topic = NewTopic(settings.qualified("small"), 1, 1, config={"max.message.bytes": "5000"})
    admin = broker.admin_client(settings)  # kept until the answer is there
    admin.create_topics([topic])[topic.topic].result(20)
    due = datetime.now(UTC) + timedelta(seconds=1)
    # In one partition, so that one transaction takes them all, and one batch of the topic.
    beside = [event_id for number in range(200) if _partition(event_id := f"s{number}") == _partition("huge")]
    for event_id in beside:
        _wait_for(settings, event_id, topic="small", due=due, value=b"v")
    _wait_for(settings, "huge", topic="small", due=due, value=random.Random(1).randbytes(10_000))
    wait_until(lambda: _count(settings) == 1, "all others are dispatched")
    listed = json.loads(delayed_command("list", "--json").stdout)
    (event,) = listed["events"]
    assert event["id"] == "huge"
    wait_until(lambda: "larger than topic" in delayed_command("list").stdout, "it counts as overdue")
    refused = delayed_command("now", "huge")
    assert (refused.exit_code, "larger than is taken" in refused.stderr) == (1, True), refused.output
    cancelled = delayed_command("cancel", "huge")
    assert cancelled.exit_code == 0, cancelled.output
    assert _count(settings) == 0


def test_foreign_records_are_skipped_and_listed_and_block_nothing(
    settings: Settings, scheduler: Instance, delayed_command: Delayed
) -> None:
    partition = 3
    waits(settings, b"no-headers", b"value", [], partition)
    waits(settings, b"no-time", b"value", [("tm_to_topic", b"t")], partition)
    waits(settings, b"bad-time", b"value", [("tm_to_topic", b"t"), ("tm_due", b"yesterday")], partition)
    waits(settings, b"no-zone", b"value", [("tm_to_topic", b"t"), ("tm_due", b"2026-01-01T00:00:00")], partition)
    waits(settings, b"not-utf8", b"value", [("tm_to_topic", b"\xff"), ("tm_due", b"\xff")], partition)
    waits(settings, b"request\0x", b"[]", [("tm_request", b"cancel")], partition)
    waits(settings, b"request\0y", b'{"id": "a", "by": "b"}', [("tm_request", b"explode")], partition)
    waits(settings, b"never-there", None, [], partition)
    ids = {f"g{number}" for number in range(40)}
    put_off(settings, dict.fromkeys(ids, 0.2))
    assert {len(each) for each in until_dispatched(settings, ids).values()} == {1}
    assert scheduler.failures == []
    listed = json.loads(delayed_command("list", "--json").stdout)
    assert len(listed["unreadable"]) == 5
    assert {each["partition"] for each in listed["unreadable"]} == {partition}
    shown = delayed_command("list")
    assert "no delayed event, skipped: schedule.delayed[3] offset 0" in shown.stderr


def _wait_for(
    settings: Settings,
    event_id: str,
    *,
    topic: str,
    due_seconds: float = 0.0,
    due: datetime | None = None,
    value: bytes = b"value",
) -> None:
    moment = due or datetime.now(UTC) + timedelta(seconds=due_seconds)
    headers = delayed.packed(settings.qualified(topic), b"key", [("ce_id", event_id.encode())], moment)
    waits(settings, event_id.encode(), value, headers, _partition(event_id))


def _partition(event_id: str) -> int:
    return partition_of(event_id.encode(), delayed.PARTITIONS)


def _count(settings: Settings) -> int:
    with read_record(settings) as record:
        return record.count()
