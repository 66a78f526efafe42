"""Commits: what is sent and answered, in whatever order, and what is told of what is not committed."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from tests.unit.sample_message import SampleMessage
from tidemill.runtime.commits import Commits
from tidemill.runtime.partition import Partition, units_of

TOPIC = "step.asked"


class Engine:
    """Partitions of a stream."""

    def __init__(self) -> None:
        self.parts = {number: Partition(TOPIC, number, ordered=True) for number in (0, 1)}
        self.stream: Any = type("Stream", (), {"name": "steps"})

    def committable(self) -> list[Partition]:
        return [part for part in self.parts.values() if part.changed]

    def finish(self, number: int, *offsets: int) -> None:
        part = self.parts[number]
        messages = [SampleMessage(offset, b"%d" % offset, in_partition=number) for offset in offsets]
        for unit in units_of(part, messages, batch=None, ordered=True):
            part.add(unit)
            part.finish(unit)


class Member:
    """Keeps what it is to commit."""

    def __init__(self) -> None:
        self.sent: list[list[TopicPartition]] = []
        self.refuses = False

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous, "nothing may wait for an answer"
        if self.refuses:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.sent.append(offsets)

    @property
    def offsets(self) -> list[list[tuple[int, int]]]:
        return [[(offset.partition, offset.offset) for offset in offsets] for offsets in self.sent]


@pytest.fixture
def setting() -> tuple[Any, Any, Commits]:
    engine: Any = Engine()
    return engine, Member(), Commits(engine)


def test_while_one_is_under_way_no_other_is_sent_and_then_what_came_meanwhile(setting: Any) -> None:
    engine, member, commits = setting
    engine.finish(0, 5)
    commits.send_if_idle(member)
    engine.finish(0, 6)
    commits.send_if_idle(member)
    assert member.offsets == [[(0, 6)]]
    commits.answered(None, member.sent[0])
    commits.send_if_idle(member)
    assert member.offsets == [[(0, 6)], [(0, 7)]]
    commits.answered(None, member.sent[1])
    commits.send_if_idle(member)
    assert len(member.sent) == 2
    assert engine.committable() == []


def test_partitions_that_leave_are_committed_beside_what_is_under_way_and_answers_may_come_in_any_order(
    setting: Any,
) -> None:
    engine, member, commits = setting
    engine.finish(0, 5)
    engine.finish(1, 8)
    commits.send_if_idle(member)
    engine.finish(1, 9)
    commits.send(member, [(TOPIC, 1)])
    assert member.offsets == [[(0, 6), (1, 9)], [(1, 10)]]
    commits.answered(None, member.sent[1])
    commits.answered(None, member.sent[0])
    assert not engine.parts[0].changed


def test_a_refused_commit_is_sent_again_with_the_next(setting: Any) -> None:
    engine, member, commits = setting
    engine.finish(0, 5)
    commits.send_if_idle(member)
    with capture_logs() as log:
        commits.answered(KafkaError(KafkaError.REBALANCE_IN_PROGRESS), member.sent[0])
    assert [entry["event"] for entry in log] == ["commit refused, will try again"]
    commits.send_if_idle(member)
    assert member.offsets == [[(0, 6)], [(0, 6)]]


def test_one_that_can_not_even_be_sent_is_told_and_sent_with_the_next(setting: Any) -> None:
    engine, member, commits = setting
    engine.finish(0, 5)
    member.refuses = True
    with capture_logs() as log:
        commits.send_if_idle(member)
    assert [entry["event"] for entry in log] == ["commit not sent, will try again"]
    member.refuses = False
    commits.send_if_idle(member)
    assert member.offsets == [[(0, 6)]]


def test_what_was_done_of_a_partition_that_has_left_and_is_not_committed_is_told_with_its_size(setting: Any) -> None:
    engine, member, commits = setting
    engine.finish(1, 8, 9, 10)
    commits.send(member, [(TOPIC, 1)])
    engine.parts[1].lose()
    with capture_logs() as log:
        commits.answered(KafkaError(KafkaError.UNKNOWN_MEMBER_ID), member.sent[0])
    assert log[-1]["event"] == "what was done is not committed and runs again"
    assert log[-1]["done_by_partition"] == {1: 3}
    engine.finish(0, 5)
    commits.send_if_idle(member)
    assert member.offsets[-1] == [(0, 6)]
