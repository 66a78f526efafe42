"""Messages fetched again by their offsets, from a log that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tidemill.config import load_settings
from tidemill.errors import BrokerUnreachable
from tidemill.runtime import recall as module
from tidemill.runtime.recall import FAR_EVENTS, Recall, Wanted

EOF = KafkaError._PARTITION_EOF
RESET = KafkaError._AUTO_OFFSET_RESET


class Logged:
    def __init__(self, offset: int, error: int | None = None) -> None:
        self._offset = offset
        self._error = None if error is None else KafkaError(error)

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return self._error


class Log:
    """A consumer of a log that holds some offsets, from `low` up to `end`."""

    def __init__(self, held: set[int], low: int, end: int) -> None:
        self.held, self.low, self.end = held, low, end
        self.assigned: list[int] = []
        self.closed = False
        self.hiccups: list[int] = []
        """Errors that come before anything else."""
        self._pending: list[Logged] = []

    def assign(self, parts: list[TopicPartition]) -> None:
        (part,) = parts
        self.assigned.append(part.offset)
        if part.offset < self.low:
            self._pending = [Logged(part.offset, RESET)]
            return
        errors = [Logged(0, code) for code in self.hiccups]
        self._pending = [*errors, *map(Logged, sorted(each for each in self.held if each >= part.offset))]
        self._pending.append(Logged(self.end, EOF))

    def unassign(self) -> None:
        self._pending = []

    def poll(self, timeout: float) -> Logged | None:
        return self._pending.pop(0) if self._pending else None

    def consume(self, count: int, timeout: float) -> list[Logged]:
        taken, self._pending = self._pending[:3], self._pending[3:]
        return taken

    def get_watermark_offsets(self, part: TopicPartition, timeout: float) -> tuple[int, int]:
        return self.low, self.end

    def close(self) -> None:
        self.closed = True


async def fetched(
    monkeypatch: pytest.MonkeyPatch, log: Log, offsets: list[int], is_moot: Callable[[], bool] = lambda: False
) -> list[int]:
    monkeypatch.setattr(module, "Consumer", lambda config: log)
    recall = Recall(load_settings(), "tidemill.steps", asyncio.get_running_loop())
    answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    recall.want(Wanted("step.asked", 0, offsets, is_moot, answer.set_result))
    found = await asyncio.wait_for(answer, 10)
    await asyncio.to_thread(recall.stop)
    assert log.closed
    return [message.offset() for message in found]


async def test_what_was_asked_for_comes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(set(range(100)), 0, 100)
    assert await fetched(monkeypatch, log, [5, 6, 20, 99]) == [5, 6, 20, 99]
    assert log.assigned == [5]


async def test_what_a_log_has_a_hole_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await fetched(monkeypatch, Log(set(range(100)) - {6, 20}, 0, 100), [5, 6, 20, 21]) == [5, 21]


async def test_what_is_missing_at_the_end_of_a_log_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await fetched(monkeypatch, Log(set(range(90)), 0, 100), [88, 89, 95, 99]) == [88, 89]


async def test_what_was_deleted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(set(range(50, 100)), 50, 100)
    assert await fetched(monkeypatch, log, [5, 49, 50, 60]) == [50, 60]
    assert log.assigned == [5, 50]
    assert await fetched(monkeypatch, Log(set(), 50, 50), [5, 49]) == []


async def test_what_lies_far_apart_is_not_read_through(monkeypatch: pytest.MonkeyPatch) -> None:
    far = 10 + 2 * FAR_EVENTS
    log = Log({*range(20), far}, 0, far + 1)
    assert await fetched(monkeypatch, log, [3, far]) == [3, far]
    assert log.assigned == [3, far]


async def test_errors_on_the_way_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(set(range(10)), 0, 10)
    log.hiccups = [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN]
    assert await fetched(monkeypatch, log, [1, 2]) == [1, 2]


async def test_what_nobody_needs_any_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(set(), 0, 0)
    log.unassign()
    assert await fetched(monkeypatch, log, [1], is_moot=lambda: True) == []


async def test_a_consumer_that_cannot_be_had_is_told_and_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(config: dict[str, Any]) -> Any:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setattr(module, "Consumer", refuse)
    recall = Recall(load_settings(), "tidemill.steps", asyncio.get_running_loop())
    recall.want(Wanted("step.asked", 0, [1], lambda: False, lambda messages: None))
    with pytest.raises(BrokerUnreachable):
        await asyncio.wait_for(recall.failed, 10)
    await asyncio.to_thread(recall.stop)
