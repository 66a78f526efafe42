"""`publish(delay=...)` and `publish(at=...)`: where such an event goes, and what a test sees of it without a broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidemill.config import load_settings
from tidemill.delayed import PARTITIONS, unpacked
from tidemill.errors import ContractError, EventTooLarge
from tidemill.events import ImageRequested, Rendition
from tidemill.partitioning import partition_of
from tidemill.publisher.preparing import Preparer
from tidemill.testing import AsyncMemoryPublisher, MemoryPublisher

EVENT = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="t", width=200)])


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher(load_settings(namespace="ns."))


def preparer(publisher: MemoryPublisher) -> Preparer:
    return publisher._preparer


def test_an_event_with_a_delay_waits_under_its_id_and_is_otherwise_the_same(publisher: MemoryPublisher) -> None:
    at_once = preparer(publisher).prepare(EVENT, event_id="a", headers={"own": b"\x00"})
    later = preparer(publisher).prepare(EVENT, event_id="a", headers={"own": b"\x00"}, delay=timedelta(minutes=5))
    assert (later.topic, later.key, later.value) == ("ns.schedule.delayed", b"a", at_once.value)
    parcel = unpacked(later.headers)
    assert (parcel.topic, parcel.key) == ("ns.image.requested", at_once.key)
    differing = {"ce_time", "tm_due"}
    assert [each for each in parcel.headers if each[0] not in differing] == [
        each for each in at_once.headers if each[0] not in differing
    ]


def test_a_receipt_tells_where_the_event_waits(publisher: MemoryPublisher) -> None:
    delivered = publisher.publish(EVENT, id="a", delay=timedelta(seconds=1)).result(1)
    assert delivered.topic == "ns.schedule.delayed"
    assert delivered.partition == partition_of(b"a", PARTITIONS)


def test_a_test_sees_the_event_and_when_it_is_due(publisher: MemoryPublisher) -> None:
    at = datetime.now(UTC) + timedelta(days=30)
    publisher.publish(EVENT, at=at)
    publisher.publish(EVENT, at=datetime(2020, 1, 1, tzinfo=UTC))
    waits, went = publisher.of(ImageRequested)
    assert waits.due == at
    assert waits.payload == EVENT
    assert went.due is None
    assert went.position.topic == "ns.image.requested"


async def test_it_is_the_same_with_asyncio() -> None:
    publisher = AsyncMemoryPublisher(load_settings(namespace="ns."))
    await publisher.publish(EVENT, delay=timedelta(hours=1))
    (event,) = publisher.of(ImageRequested)
    assert event.due is not None
    assert event.due - event.time == timedelta(hours=1)


def test_a_delay_that_makes_no_sense_publishes_nothing(publisher: MemoryPublisher) -> None:
    with pytest.raises(ContractError, match="found both"):
        publisher.publish(EVENT, delay=timedelta(1), at=datetime.now(UTC) + timedelta(1))
    assert publisher.events == []


def test_the_largest_event_is_the_same_with_a_delay_and_without(publisher: MemoryPublisher) -> None:
    most = publisher._preparer.settings.max_event_bytes
    rest = preparer(publisher).prepare(EVENT, key=b"k", event_id="a", headers={"pad": b""}).size_bytes
    fits, too_large = {"pad": bytes(most - rest)}, {"pad": bytes(most - rest + 1)}
    delay = timedelta(hours=1)
    assert preparer(publisher).prepare(EVENT, key=b"k", event_id="a", headers=fits, delay=delay)
    with pytest.raises(EventTooLarge):
        preparer(publisher).prepare(EVENT, key=b"k", event_id="a", headers=too_large, delay=delay)
