"""Delayed events on a real Kafka: each goes to its topic once, as it was published, and never early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.delays.record import read_record
from tests.integration.delays_running import (
    dispatched,
    keeper,
    prepare_delays,
    publishing,
    put_off,
    scheduling,
    step,
    until_dispatched,
    waits,
)
from tests.integration.steps import StepAsked
from tests.integration.working import encoded, wait_until
from tidemill import delayed
from tidemill.config import Settings
from tidemill.event import DUE, TIME
from tidemill.partitioning import partition_of
from tidemill.topics import read_topics
from tidemill.topics.house import COMPACTED

WITHOUT = {TIME, DUE}
"""Headers that differ between two publications of the same event, one of them delayed."""


@pytest.fixture(autouse=True)
def topics_are_there(settings: Settings) -> None:
    prepare_delays(settings)


def test_an_event_arrives_byte_for_byte_as_if_it_were_published_when_it_is_due(settings: Settings) -> None:
    own: dict[str, str | bytes] = {"colour": "blue", "raw": bytes(range(256)), "empty": b""}
    with publishing(settings) as publisher:
        publisher.publish(step(1), key=b"\x00\xffkey", subject="s", headers=own, id="a")
        later = publisher.publish(
            step(1), key=b"\x00\xffkey", subject="s", headers=own, id="a", delay=timedelta(seconds=0.5)
        )
    assert later.result(10).topic == settings.qualified(delayed.TOPIC)
    with scheduling(settings):
        wait_until(lambda: len(dispatched(settings)["a"]) == 2, "the second one arrives")
    at_once, in_time = dispatched(settings)["a"]
    assert (at_once.key(), at_once.value()) == (in_time.key(), in_time.value())
    assert at_once.partition() == in_time.partition()
    assert _headers(at_once) == _headers(in_time)
    assert [name for name, _ in _all_headers(in_time)][-1] == DUE


def test_an_event_without_a_key_arrives_without_one(settings: Settings) -> None:
    parcel = delayed.packed(settings.qualified("step.asked"), None, [("ce_id", b"n")], datetime.now(UTC))
    _put(settings, b"n", b"\x00value", parcel)
    with scheduling(settings):
        (message,) = until_dispatched(settings, {"n"})["n"]
    assert message.key() is None
    assert message.value() == b"\x00value"


def test_no_event_is_early_and_none_is_missing_or_twice(settings: Settings) -> None:
    due = put_off(settings, {f"e{number}": 0.01 * number for number in range(-20, 300)})
    with scheduling(settings):
        found = until_dispatched(settings, {*due})
    assert {event_id: len(each) for event_id, each in found.items()} == dict.fromkeys(due, 1)
    for event_id, (message,) in found.items():
        written_ms = message.timestamp()[1]
        if dict(_all_headers(message)).get(DUE):
            assert written_ms >= int(due[event_id].timestamp() * 1000), event_id


def test_the_last_record_of_an_id_counts(settings: Settings) -> None:
    with publishing(settings) as publisher:
        publisher.publish(step(1), id="x", delay=timedelta(seconds=1))
        publisher.publish(step(2), id="x", delay=timedelta(seconds=600))
        publisher.publish(step(3), id="x", delay=timedelta(seconds=2))
        publisher.publish(step(4), id="after", delay=timedelta(seconds=3))
    with scheduling(settings):
        found = until_dispatched(settings, {"x", "after"})
    (message,) = found["x"]
    assert message.value() == _value(settings, 3)


def test_an_id_that_was_dispatched_may_wait_again(settings: Settings) -> None:
    with scheduling(settings):
        put_off(settings, {"again": 0.1})
        until_dispatched(settings, {"again"})
        put_off(settings, {"again": 0.1})
        wait_until(lambda: len(dispatched(settings)["again"]) == 2, "it is dispatched once more")


def test_a_year_is_waited_and_nothing_of_it_can_vanish_meanwhile(settings: Settings) -> None:
    due = put_off(settings, {"far": 366 * 86_400.0, "near": 0.1})
    with scheduling(settings):
        until_dispatched(settings, {"near"})
    with scheduling(settings), read_record(settings) as record:
        (event,) = record.soonest()
        assert (event.id, event.due) == (b"far", due["far"])
    name = settings.qualified(delayed.TOPIC)
    topic = read_topics(settings, [name])[name]
    assert topic.config["cleanup.policy"] == "compact"
    assert topic.config["retention.ms"] == "-1"
    assert {each: topic.config[each] for each in COMPACTED} == dict(COMPACTED)


def test_a_restart_in_the_middle_loses_nothing_and_doubles_nothing(settings: Settings) -> None:
    due: dict[str, datetime] = {}
    for spread_seconds in (4, 16, 64):
        name = f"r{spread_seconds}"
        due = put_off(settings, {f"{name}-{number}": 1.0 + spread_seconds * number / 200 for number in range(200)})
        with scheduling(settings):
            until_dispatched(settings, {f"{name}-5"})
        if not {*due} <= {*dispatched(settings)}:
            break  # On a busy machine a scheduler may take longer to start than all of them take to be due.
    else:
        pytest.fail("stopped too late to prove anything")
    with scheduling(settings):
        found = until_dispatched(settings, {*due}, 90)
    assert {event_id: len(each) for event_id, each in found.items() if event_id in due} == dict.fromkeys(due, 1)


def test_what_an_instance_leaves_another_one_takes_over(settings: Settings) -> None:
    with scheduling(settings, instances=2) as (first, second):
        due = put_off(settings, {f"t{number}": 1.0 + 0.05 * number for number in range(200)})
        until_dispatched(settings, {"t5"})
        assert len(dispatched(settings)) < len(due), "stopped too late to prove anything"
        first.stop()
        found = until_dispatched(settings, {*due})
        assert second.owned() == {*range(delayed.PARTITIONS)}
    assert {event_id: len(each) for event_id, each in found.items()} == dict.fromkeys(due, 1)


def test_two_owners_of_a_partition_never_emit_an_event_twice(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [event_id for number in range(1000) if _partition(event_id := f"z{number}") == 0][:100]
    due = put_off(settings, {event_id: 2.0 + 0.04 * place for place, event_id in enumerate(ids)})
    failures: list[BaseException] = []
    # Neither knows of the other: as after a pause, when the group has long given the partition to somebody else.
    pair = [keeper(settings, 0, by=by, on_failure=failures.append) for by in ("one", "two")]
    for each in pair:
        each.start()
    try:
        found = until_dispatched(settings, {*due})
    finally:
        for each in pair:
            each.halt()
        assert all(each.join(30) for each in pair)
    assert failures == []
    assert {event_id: len(each) for event_id, each in found.items()} == dict.fromkeys(due, 1)
    assert "fenced: another instance" in capsys.readouterr().out, "they didn't compete"


def _partition(event_id: str) -> int:
    return partition_of(event_id.encode(), delayed.PARTITIONS)


def _put(settings: Settings, key: bytes, value: bytes, headers: Any) -> None:
    waits(settings, key, value, headers, _partition(key.decode()))


def _value(settings: Settings, number: int) -> bytes:
    return encoded(settings, StepAsked(lane="lane", number=number, note=""))


def _all_headers(message: Any) -> list[tuple[str, bytes]]:
    return list(message.headers() or [])


def _headers(message: Any) -> list[tuple[str, bytes]]:
    return [pair for pair in _all_headers(message) if pair[0] not in WITHOUT]
