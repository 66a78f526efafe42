"""An engine with everything around it played by the test: the registry, what is published, and the handler's outcomes.

Lanes, slots, retries and the handler's task are the real ones; Kafka is not there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from tests.integration.steps import StepAsked, StepDone
from tests.unit.sample_message import SampleMessage
from tidemill.codec import SchemaNotCached
from tidemill.config import load_settings
from tidemill.errors import DecodeError, RegistryError
from tidemill.event import Event
from tidemill.events import JobProgress
from tidemill.runtime.engine import Engine
from tidemill.runtime.invoke import Invoke
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Work

SOON = Retry(attempts=3, first=0.01, most=0.01, jitter=0.0)


async def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        await asyncio.sleep(0.001)


class Values:
    """Decodes values that are just numbers; `?` has a schema nobody has fetched yet, `!` is no event."""

    def __init__(self) -> None:
        self.known = False
        self.registry_away = False
        self.answers = threading.Event()
        """Cleared by a test that wants the registry to take its time."""
        self.answers.set()
        self.learned: Counter[int] = Counter()

    def decode_cached(self, value: bytes, cls: type[StepAsked]) -> StepAsked:
        if value.startswith(b"!"):
            raise DecodeError("That is no event.")
        if value.startswith(b"?") and not self.known:
            raise SchemaNotCached(7)
        return cls(lane="a", number=int(value.strip(b"?")))

    def learn(self, schema_id: int) -> None:
        assert self.answers.wait(10), "the test never lets the registry answer"
        self.learned[schema_id] += 1
        if self.registry_away:
            raise RegistryError("The registry doesn't answer.")
        self.known = True


class Sent:
    """Keeps what is published, put off and buried; acknowledges at once, unless the test holds that back."""

    def __init__(self) -> None:
        self.published: list[StepDone] = []
        self.dead: list[tuple[int, BaseException, int]] = []
        self.later: list[tuple[int, int, datetime]] = []
        self.held: list[Callable[[], None]] = []
        self.hold = False
        self.errors: list[Exception] = []
        """Told to the next receipts, one each."""
        self.refusals: list[Exception] = []
        """Raised by the next attempts to publish or to bury."""
        self.told: list[JobProgress] = []
        """What was told of events, without a promise."""
        self.ended: list[JobProgress] = []
        """What was told of events as an output of theirs."""

    @property
    def offers(self) -> Sent:
        return self

    def offer(self, payload: JobProgress, cause: Event[Any]) -> None:
        assert (payload.job, payload.event) == (cause.root, cause.id)
        self.told.append(payload)

    async def publish(self, unit: Any, events: Any, outputs: Any, settled: Any, *, series: str = "") -> None:
        if self.refusals:
            settled(unit, self.refusals.pop(0))
            return
        payloads = [output.payload for output in outputs]
        self.ended += [payload for payload in payloads if isinstance(payload, JobProgress)]
        self.published += [payload for payload in payloads if not isinstance(payload, JobProgress)]
        errors = [self.errors.pop(0) if self.errors else None for _ in outputs]

        def settle() -> None:
            settled(unit, next((error for error in errors if error is not None), None))

        if self.hold:
            self.held.append(settle)
        else:
            asyncio.get_running_loop().call_soon(settle)

    async def bury(self, message: SampleMessage, error: BaseException, attempts: int) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.dead.append((message.at_offset, error, attempts))

    async def put_off(self, message: SampleMessage, attempts: int, due: datetime) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.later.append((message.at_offset, attempts, due))


class Bench:
    """An engine with its surroundings, and partition 0 to feed it with."""

    def __init__(self, declared: Stream, concurrency: int = 4, **options: Any) -> None:
        self.values, self.sent = Values(), Sent()
        values: Any = self.values
        sent: Any = self.sent
        self.engine = Engine(declared, values, sent, Invoke(declared, load_settings(), concurrency), **options)
        self.engine.start(concurrency)
        self.part = self.engine.partition("step.asked", 0)

    def feed(self, *values: bytes | int, key: bytes | None = None, first: int = 0) -> None:
        """Messages at the offsets from `first` on; each with a key of its own unless one is given."""
        messages = [
            SampleMessage(
                first + index, key or b"key %d" % (first + index), b"%d" % value if isinstance(value, int) else value
            )
            for index, value in enumerate(values)
        ]
        self.engine.feed(self.part, messages)

    async def committable(self, offset: int) -> None:
        """Wait until everything before this offset is done."""
        await until(lambda: self.part.safe == offset, f"offset {offset} to commit, it is {self.part.safe}")


MakeBench = Callable[..., Bench]


@asynccontextmanager
async def benches() -> AsyncIterator[MakeBench]:
    """Makes benches, and stops their engines in the end; nothing may still be counted as running then."""
    made: list[Bench] = []

    def make(declared: Stream, concurrency: int = 4, **options: Any) -> Bench:
        made.append(Bench(declared, concurrency, **options))
        return made[-1]

    yield make
    for each in made:
        await each.engine.stop()
        assert each.part.running == 0 or each.engine.recycle.is_set()


class Handler:
    """A handler whose behaviour a test scripts: by number, the outcomes of its tries in turn; None is success."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.times: list[float] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.cancelled: list[int] = []
        self.outcomes: dict[int, list[BaseException | None]] = {}

    async def __call__(self, number: int, attempt: int) -> None:
        self.calls.append((number, attempt))
        self.times.append(time.monotonic())
        if number in self.gates:
            try:
                await self.gates[number].wait()
            except asyncio.CancelledError:
                self.cancelled.append(number)
                raise
        outcome = self.outcomes[number].pop(0) if self.outcomes.get(number) else None
        if outcome is not None:
            raise outcome

    def gate(self, number: int) -> asyncio.Event:
        """Hold a number's tries until this event is set."""
        return self.gates.setdefault(number, asyncio.Event())

    def stream(self, **options: Any) -> Stream:
        """A stream of single events that runs this."""

        async def steps(event: Event[StepAsked], work: Work) -> None:
            await self(event.payload.number, work.attempt)

        return stream("step.asked", retry=options.pop("retry", SOON), **options)(steps)


def returning(*numbers: int, **options: Any) -> Stream:
    @stream("step.asked", name="returning", retry=options.pop("retry", SOON), **options)
    async def steps(event: Event[StepAsked]) -> list[StepDone]:
        return [StepDone(lane="a", number=number) for number in numbers]

    return steps
