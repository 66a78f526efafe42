"""An event that was put back: what it carries, and who passes over it."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.deadletters.outgoing import outgoing
from tests.integration.steps import StepAsked
from tests.unit.engine_bench import MakeBench, benches
from tests.unit.sample_message import SampleMessage
from tidemill.errors import DeadLetterError
from tidemill.event import REDRIVE, REDRIVES, Event, derived_id
from tidemill.runtime import deadletter
from tidemill.runtime.deadletter import dead_letter
from tidemill.runtime.partition import Partition
from tidemill.runtime.redrive import MARK_MS, marked, sort_out, stream_of
from tidemill.runtime.retry_route import can_go_around
from tidemill.runtime.stream import stream

MARKED_MS = 1_750_000_000_000 + MARK_MS


@stream("step.asked", name="one")
async def one(event: Event[StepAsked]) -> None:
    """Does nothing."""


def buried(message: SampleMessage, offset: int = 3) -> SampleMessage:
    """The message as it lies among the dead letters."""
    letter = dead_letter("step.asked.dead", message, one, ValueError("no"), 5)
    return SampleMessage(offset, letter.key, letter.value, list(letter.headers), 0, letter.topic)


HEADERS: list[tuple[str, bytes | None]] = [("ce_id", b"7"), ("mine", b"1"), ("mine", b"2"), ("none", None)]


def test_an_event_goes_back_as_it_was() -> None:
    died = SampleMessage(9, b"key", b"\x00bytes", HEADERS, 2)
    back = outgoing(buried(died), "", 4, None)
    assert (back.key, back.value, back.partition) == (b"key", b"\x00bytes", None)
    assert back.headers == [*HEADERS, (REDRIVE, b"one"), (REDRIVES, b"1")]
    assert back.done(1, 40) == (0, 3, died.timestamp_ms, 1, 40)


def test_a_second_time_counts_on_and_leaves_no_second_header() -> None:
    once = outgoing(buried(SampleMessage(9, with_headers=HEADERS)), "", 4, None)
    twice = outgoing(buried(SampleMessage(40, with_headers=list(once.headers))), "", 4, "two")
    assert twice.headers == [*HEADERS, (REDRIVE, b"two"), (REDRIVES, b"2")]


def test_an_event_without_an_id_keeps_the_one_that_followed_from_its_place() -> None:
    died = SampleMessage(9, with_headers=[], in_partition=2)
    back = outgoing(buried(died), "", 4, None)
    assert dict(back.headers)["ce_id"] == derived_id("step.asked/2/9", "foreign").encode()
    assert dict(back.headers)["ce_id"] == Event.received(None, died).id.encode()


def test_an_event_without_a_key_goes_back_to_its_partition() -> None:
    died = buried(SampleMessage(9, None, with_headers=HEADERS, in_partition=2))
    assert outgoing(died, "", 4, None).partition == 2
    assert outgoing(died, "", 2, None).partition is None


def test_a_letter_that_names_no_stream_or_another_topic_is_left() -> None:
    with pytest.raises(DeadLetterError, match="in which stream"):
        outgoing(SampleMessage(in_topic="step.asked.dead"), "", 4, None)
    assert dict(outgoing(SampleMessage(in_topic="step.asked.dead"), "", 4, "one").headers)[REDRIVE] == b"one"
    forged = [(deadletter.STREAM, b"one"), (deadletter.TOPIC, b"payments")]
    with pytest.raises(DeadLetterError, match="died in 'payments'"):
        outgoing(SampleMessage(with_headers=forged, in_topic="step.asked.dead"), "", 4, None)


@pytest.mark.parametrize("now_ms", [1_750_000_000_000, 1_750_000_000_612, 1_750_000_000_613, 1_750_000_000_999])
def test_the_mark_is_a_time_of_the_last_second(now_ms: int) -> None:
    assert marked(now_ms) % 1_000 == MARK_MS
    assert 0 <= now_ms - marked(now_ms) < 1_000


def back_at(offset: int, name: bytes | None, *, timestamp_ms: int = MARKED_MS) -> SampleMessage:
    headers: list[tuple[str, Any]] = [("ce_id", b"7")] if name is None else [("ce_id", b"7"), (REDRIVE, name)]
    return SampleMessage(offset, b"key %d" % offset, b"%d" % offset, headers, timestamp_ms=timestamp_ms)


def test_what_is_for_another_stream_counts_as_done() -> None:
    part = Partition("step.asked", 0, ordered=True)
    messages = [back_at(0, None), back_at(1, b"two"), back_at(2, b"two"), back_at(3, b"one"), back_at(4, b"two")]
    runs = [[message.offset() for message in run] for run in sort_out(part, messages, "one")]
    assert runs == [[0], [3]]
    assert stream_of(messages[1]) == "two"


def test_headers_are_read_only_of_what_may_have_been_put_back() -> None:
    class Costly(SampleMessage):
        def headers(self) -> list[tuple[str, Any]] | None:
            raise AssertionError("its headers were read")

    messages = [Costly(offset, timestamp_ms=MARKED_MS + 1) for offset in range(10)]
    assert list(sort_out(Partition("step.asked", 0, ordered=True), messages, "one")) == [messages]


def test_where_the_broker_sets_the_time_headers_tell() -> None:
    class Appended(SampleMessage):
        def timestamp(self) -> tuple[int, int]:
            return 2, self.timestamp_ms

    theirs = Appended(0, with_headers=[(REDRIVE, b"two")], timestamp_ms=MARKED_MS + 1)
    assert list(sort_out(Partition("step.asked", 0, ordered=True), [theirs], "one")) == []


def test_what_was_put_back_waits_where_it_is() -> None:
    assert not can_go_around(back_at(0, b"one"))
    assert can_go_around(back_at(0, None))


async def test_an_engine_handles_its_own_and_commits_past_the_others() -> None:
    handled: list[int] = []

    @stream("step.asked", name="one")
    async def steps(event: Event[StepAsked]) -> None:
        handled.append(event.payload.number)

    async with benches() as make:
        bench = _fed(make, steps, [back_at(0, b"two"), back_at(1, b"one"), back_at(2, None), back_at(3, b"two")])
        await bench.committable(4)
    assert handled == [1, 2]


def _fed(make: MakeBench, declared: Any, messages: list[SampleMessage]) -> Any:
    bench = make(declared)
    bench.engine.feed(bench.part, messages)
    return bench
