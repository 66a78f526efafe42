"""For the tests of delays: schedulers of delays in this process, events that wait, and what became of them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message, Producer
from structlog.testing import capture_logs

from scheduler.delays.duty import DelaysDuty
from scheduler.log import read_log
from scheduler.ownership.keeper import Keeper
from scheduler.ownership.membership import Membership
from tests.integration.steps import StepAsked
from tests.integration.working import prepare, wait_until
from tidemill import broker, delayed
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import ID
from tidemill.publisher import Publisher
from tidemill.topics import apply
from tidemill.topics.house import DELAYED

GROUP = "delays"


def prepare_delays(settings: Settings) -> None:
    """The topic of what waits, and the steps'."""
    prepare(settings)
    apply(settings, [], house=[DELAYED])


class Instance:
    """An instance of the scheduler, with delays only, in threads of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._by = f"instance-{uuid.uuid4().hex[:6]}"
        self.failures: list[BaseException] = []
        self.membership = Membership(settings, GROUP, [delayed.TOPIC], self._keeper)
        self._thread = threading.Thread(target=self.membership.run, args=(self._stop.is_set,))

    def _keeper(self, _: str, partition: int) -> Keeper:
        return keeper(self._settings, partition, by=self._by, on_failure=self._failed)

    def _failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._stop.set()

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def stop(self) -> None:
        """Leave it, and fail where a keeper has failed."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "an instance doesn't end"
        assert self.failures == []

    def owned(self) -> set[int]:
        """Partitions that it has taken over."""
        return {place[1] for place, keeper in [*self.membership.keepers.items()] if keeper.ready.is_set()}


def keeper(settings: Settings, partition: int, *, by: str, on_failure: Any) -> Keeper:
    """The keeper of one partition of what waits."""
    return Keeper(settings, GROUP, delayed.TOPIC, partition, lambda: DelaysDuty(settings, partition, by=by), on_failure)


@contextmanager
def scheduling(settings: Settings, instances: int = 1) -> Iterator[list[Instance]]:
    """So many instances, which own all partitions between them."""
    running = [Instance(settings) for _ in range(instances)]
    # What they log is not to stand among what a command prints.
    with capture_logs():
        try:
            for each in running:
                each.start()
            wait_until(lambda: _is_shared(running), "every partition has an owner, and every instance a partition")
            yield running
        finally:
            for each in running:
                each.stop()


def _is_shared(running: Sequence[Instance]) -> bool:
    owned = [each.owned() for each in running]
    return all(owned) and sorted(part for some in owned for part in some) == [*range(delayed.PARTITIONS)]


@contextmanager
def publishing(settings: Settings) -> Iterator[Publisher]:
    """A publisher whose events are all acknowledged at the end of the block."""
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        yield publisher


def step(number: int = 0, lane: str = "lane") -> StepAsked:
    """An event."""
    return StepAsked(lane=lane, number=number, note="")


def put_off(settings: Settings, seconds: dict[str, float]) -> dict[str, datetime]:
    """Publish an event per id, due in so many seconds; returns when each is due."""
    now = datetime.now(UTC)
    due = {event_id: now + timedelta(seconds=each) for event_id, each in seconds.items()}
    with publishing(settings) as publisher:
        for number, (event_id, at) in enumerate(due.items()):
            publisher.publish(step(number, f"lane-{number % 7}"), id=event_id, at=at)
    return due


def waits(settings: Settings, key: bytes, value: bytes | None, headers: Any, partition: int) -> None:
    """Put a record of one's own onto `schedule.delayed`."""
    producer = Producer(broker.client_config(settings))
    producer.produce(settings.qualified(delayed.TOPIC), value, key, partition, headers=headers)
    assert producer.flush(10) == 0


def dispatched(settings: Settings) -> dict[str, list[Message]]:
    """What read_committed readers find in the steps' topic, by id."""
    found: dict[str, list[Message]] = {}
    for message in committed_messages(settings, StepAsked.__contract__.topic):
        headers: Any = message.headers() or []
        found.setdefault(dict(headers)[ID].decode(), []).append(message)
    return found


def committed_messages(settings: Settings, topic: str) -> list[Message]:
    """All committed records of a topic; transaction markers between them are no records."""
    return [*read_log(settings, topic)]


def until_dispatched(settings: Settings, ids: set[str], seconds: float = 30.0) -> dict[str, list[Message]]:
    """Wait until all these are in their topic; returns what is there."""
    wait_until(lambda: dispatched(settings).keys() >= ids, f"{sorted(ids)[:5]}... are dispatched", seconds)
    return dispatched(settings)
