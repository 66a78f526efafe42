"""Gaps of offsets: a log's own, of transactions for instance, cost next to nothing; what the client skipped is read."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Producer
from structlog.testing import capture_logs

from tests.integration.steps import PARTITIONS, StepAsked, StepDone
from tests.integration.working import ASKED, WAIT_SECONDS, Working, prepare, publish, steps, until, working
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import JobProgress
from tidemill.partitioning import partition_of
from tidemill.runtime.stream import stream

PLACE = partition_of(b"a", PARTITIONS)


def publish_in_transactions(settings: Settings, count: int, *, abort_every: int) -> list[int]:
    """Each event of a lane in a transaction of its own, some of them aborted; the numbers of the others."""
    producer = Producer({**broker.client_config(settings), "transactional.id": settings.namespace, "linger.ms": 0})
    producer.init_transactions(WAIT_SECONDS)
    with Registry(settings) as registry:
        codec = Codec(registry)
        values = [codec.encode(step) for step in steps("a", count)]
    kept = []
    for number in range(count):
        producer.begin_transaction()
        producer.produce(settings.qualified(ASKED), values[number], b"a", PLACE)
        if number % abort_every == 1:
            producer.flush(WAIT_SECONDS)
            producer.abort_transaction(WAIT_SECONDS)
        else:
            producer.commit_transaction(WAIT_SECONDS)
            kept.append(number)
    return kept


async def test_a_log_of_transactions_is_handled_whole_and_few_of_its_gaps_are_looked_at(settings: Settings) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[int] = []

    @stream("step.asked", name="marked")
    async def marked(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    kept = publish_in_transactions(settings, 400, abort_every=5)
    with capture_logs() as log:
        async with working(settings, marked):
            await until(lambda: len(seen) >= len(kept), "all that was not aborted is handled")
    assert seen == kept
    looked_at = [entry for entry in log if entry["event"] == "gap in the log"]
    assert 1 <= len(looked_at) <= 9
    assert {entry["log_level"] for entry in looked_at} == {"debug"}
    assert [entry for entry in log if entry["log_level"] == "warning"] == []


def play_a_fault(settings: Settings, worker: Working, more: Sequence[StepAsked], offset: int) -> None:
    """Between two polls more is published, and the client goes on at an offset that isn't the next one."""
    (running,) = worker.worker._running
    source = running.source
    regulate = source._regulate

    def once() -> None:
        source._regulate = regulate  # type: ignore[method-assign]
        publish(settings, more)
        source._read_from((settings.qualified(ASKED), PLACE), offset)

    source._regulate = once  # type: ignore[method-assign]


async def test_what_the_client_skips_is_read_again_and_handled_once_in_order(settings: Settings) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[int] = []

    @stream("step.asked", name="skipped")
    async def skipped(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    publish(settings, steps("a", 10))
    with capture_logs() as log:
        async with working(settings, skipped) as worker:
            await until(lambda: len(seen) == 10, "the first are handled")
            play_a_fault(settings, worker, steps("a", 100)[10:], 60)
            await until(lambda: len(seen) == 100, "all are handled")
    assert seen == list(range(100))
    (told,) = [entry for entry in log if entry["log_level"] == "warning"]
    assert told["event"] == "events were skipped, and came when read again"
    assert (told["partition"], told["offset"]) == (PLACE, 10)


async def test_what_the_client_brings_twice_is_handled_once(settings: Settings) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[int] = []

    @stream("step.asked", name="twice")
    async def twice(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    publish(settings, steps("a", 50))
    with capture_logs() as log:
        async with working(settings, twice) as worker:
            await until(lambda: len(seen) == 50, "the first are handled")
            play_a_fault(settings, worker, steps("a", 60)[50:], 20)
            await until(lambda: len(seen) >= 60, "the next are handled")
    assert seen == list(range(60))
    assert sum(entry["events"] for entry in log if entry["event"] == "came twice, handled once") == 30
