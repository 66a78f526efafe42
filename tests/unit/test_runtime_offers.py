"""What is published without a promise leaves room to what is published with one, and fails nobody."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.integration.steps import StepAsked, StepDone
from tests.unit.engine_bench import until
from tidemill.codec import Codec
from tidemill.config import load_settings
from tidemill.errors import RegistryError
from tidemill.event import Event, Position
from tidemill.publisher.preparing import Outgoing, Preparer
from tidemill.runtime import offers
from tidemill.runtime.offers import OfferingPublisher, Offers
from tidemill.testing import MemorySchemas

CAUSE = Event(
    StepAsked(lane="a", number=0),
    key=b"a",
    headers=[("ce_id", b"event"), ("tm_root", b"job")],
    position=Position("step.asked", 0, 7, 0),
)
ONE = StepDone(lane="a", number=1)


class Schemas(MemorySchemas):
    """A registry that can be away."""

    away = False

    def lookup_id(self, subject: str, schema_json: str) -> int:
        if self.away:
            raise RegistryError("The registry doesn't answer.")
        return super().lookup_id(subject, schema_json)


class Producer:
    """Stands for librdkafka's; the test answers for it."""

    def __init__(self) -> None:
        self.taken: list[tuple[Outgoing, Any]] = []
        self.crowd = 0
        self.is_full = False

    def __len__(self) -> int:
        return self.crowd

    def produce(self, message: Outgoing, answered: Any) -> bool:
        if not self.is_full:
            self.taken.append((message, answered))
        return not self.is_full

    @property
    def producer(self) -> Producer:
        return self


class Run:
    def __init__(self, *, is_heard: bool = True) -> None:
        self.schemas, self.producer = Schemas(), Producer()
        settings, codec = load_settings(), Codec(self.schemas)
        publisher = OfferingPublisher(settings, codec=codec)
        core: Any = self.producer
        publisher._core = core
        self.offers = Offers(publisher, Preparer(settings, codec), "steps", is_heard=is_heard)

    async def offer(self, count: int = 1) -> None:
        for _ in range(count):
            self.offers.offer(ONE, CAUSE)
        await until(lambda: not self.offers._preparing, "all is sent or dropped")

    def answer(self, error: KafkaError | None = None) -> None:
        for _, answered in self.producer.taken:
            answered(error, None)
        self.producer.taken.clear()


async def test_what_is_offered_belongs_to_the_job_of_what_it_is_about() -> None:
    run = Run()
    await run.offer()
    ((message, _),) = run.producer.taken
    headers = dict(message.headers)
    assert (headers["tm_root"], headers["tm_cause"]) == (b"job", b"event")
    assert headers["ce_id"] not in (b"job", b"event")


async def test_no_more_than_a_thousand_are_on_their_way() -> None:
    run = Run()
    await run.offer(offers.MOST_UNANSWERED + 500)
    assert len(run.producer.taken) == offers.MOST_UNANSWERED
    run.answer()
    await run.offer(2)
    assert len(run.producer.taken) == 2


async def test_failures_make_room_again() -> None:
    run = Run()
    await run.offer(offers.MOST_UNANSWERED)
    run.answer(KafkaError(KafkaError._MSG_TIMED_OUT))
    run.producer.crowd = offers.CROWDED
    await run.offer(offers.MOST_UNANSWERED)
    assert run.producer.taken == []
    run.producer.crowd, run.producer.is_full = 0, True
    await run.offer(offers.MOST_UNANSWERED)
    run.producer.is_full, run.schemas.away = False, True
    run.offers._preparer.codec._encoders.clear()
    await run.offer(offers.MOST_UNANSWERED)
    run.schemas.away = False
    await run.offer(3)
    assert len(run.producer.taken) == 3


async def test_it_is_complained_once_in_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run()
    run.producer.crowd = offers.CROWDED
    await run.offer(50)
    told = [line for line in capsys.readouterr().out.splitlines() if "how events get on can't be told" in line]
    assert len(told) == 1
    assert "too much waits for the broker" in told[0]


async def test_an_event_that_is_wrong_fails_nobody() -> None:
    run = Run()
    wrong: Any = 17
    run.offers.offer(StepDone(lane=wrong, number=1), CAUSE)
    await run.offer()
    assert len(run.producer.taken) == 1


async def test_without_a_topic_for_it_nothing_is_sent() -> None:
    run = Run(is_heard=False)
    await run.offer(3)
    assert run.producer.taken == []
