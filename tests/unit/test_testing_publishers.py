"""Publishers for users' own tests: the same checks as the real ones, and events as a consumer would see them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tidemill import AsyncPublisher, Publisher, load_settings
from tidemill.errors import ContractError, EventTooLarge, InvalidEvent, PublisherClosed, PublishError
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.partitioning import partition_of
from tidemill.testing import AsyncMemoryPublisher, MemoryPublisher


def request(source: str = "file:///1.jpg") -> ImageRequested:
    return ImageRequested(source=source, renditions=[Rendition(name="thumb", width=200)])


def upload(source: str, publisher: Publisher) -> str:
    """Code of a user, as the docstring of MemoryPublisher has it."""
    return publisher.publish(request(source)).id


def test_code_that_publishes_is_tested_without_a_broker() -> None:
    publisher = MemoryPublisher()
    event_id = upload("file:///1.jpg", publisher)
    (event,) = publisher.of(ImageRequested)
    assert event.payload.renditions == [Rendition(name="thumb", width=200)]
    assert event.key == event.payload.source
    assert event.id == event_id
    assert publisher.of(ImageProcessed) == []


def test_events_are_those_that_were_encoded_not_the_objects_that_were_given() -> None:
    publisher = MemoryPublisher()
    renditions = [Rendition(name="thumb")]
    publisher.publish(ImageRequested(source="a", renditions=renditions))
    renditions.append(Rendition(name="later"))
    assert publisher.of(ImageRequested)[0].payload.renditions == [Rendition(name="thumb")]


def test_a_receipt_says_where_the_event_would_lie() -> None:
    publisher = MemoryPublisher(load_settings(namespace="staging."))
    first, second = (publisher.publish(request()).result() for _ in range(2))
    assert first.topic == "staging.image.requested"
    assert first.partition == partition_of(b"file:///1.jpg", 12)
    assert (first.offset, second.offset) == (0, 1)
    assert publisher.events[1].position[:3] == second


def test_clear_forgets_events_but_not_offsets() -> None:
    publisher = MemoryPublisher()
    publisher.publish(request())
    publisher.clear()
    assert publisher.events == []
    assert publisher.publish(request()).result().offset == 1


def test_the_list_of_events_is_the_tests_own() -> None:
    publisher = MemoryPublisher()
    publisher.publish(request())
    publisher.events.clear()
    assert len(publisher.events) == 1


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"key": "a\nb"}, "The key must be 1 to 10,000 printable characters"),
        ({"key": ""}, "The key must be 1 to 10,000 printable characters"),
        ({"key": 5}, "The key must be text, found int"),
        ({"key": b"x" * 10_001}, "The key has 10,001 bytes; at most 10,000 are taken"),
        ({"subject": "a\r\nb"}, "The subject must be"),
        ({"id": ""}, "The id must be"),
        ({"headers": {"ce_id": "1"}}, "Header 'ce_id' belongs to the envelope"),
    ],
)
def test_an_envelope_that_can_not_be_used_is_refused(envelope: dict[str, object], message: str) -> None:
    publisher = MemoryPublisher()
    with pytest.raises(ContractError) as caught:
        publisher.publish(request(), **envelope)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert publisher.events == []


def test_an_invalid_field_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="field 'source' must be text, found 5"):
        MemoryPublisher().publish(ImageRequested(source=5, renditions=[]))  # type: ignore[arg-type]


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ContractError, match="dict is not an event class"):
        MemoryPublisher().publish({"source": "a"})  # type: ignore[arg-type]


def test_an_event_that_is_too_large_is_refused_whatever_makes_it_so() -> None:
    publisher = MemoryPublisher(load_settings(max_event_bytes=50_000))
    publisher.publish(request("x" * 9_000))
    with pytest.raises(EventTooLarge, match="at most 50,000 are taken") as caught:
        publisher.publish(request(), headers={"dump": b"x" * 50_000})
    assert not caught.value.retriable
    with pytest.raises(EventTooLarge):
        publisher.publish(ImageRequested(source="a", renditions=[Rendition(name="x" * 60_000)]))
    assert len(publisher.events) == 1


def test_a_closed_publisher_takes_nothing_and_is_closed_again_without_harm() -> None:
    with MemoryPublisher() as publisher:
        publisher.publish(request())
        publisher.flush()
    publisher.close()
    with pytest.raises(PublisherClosed, match=r"Publish before close\(\)"):
        publisher.publish(request())
    assert len(publisher.events) == 1


def test_threads_may_share_one() -> None:
    publisher = MemoryPublisher()
    threads = [threading.Thread(target=lambda: [publisher.publish(request()) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.position.offset for event in publisher.events) == list(range(1600))


async def test_the_async_twin_does_the_same() -> None:
    async with AsyncMemoryPublisher() as publisher:
        receipt = await publisher.publish(request(), subject="s")
        delivered = await receipt
        (event,) = publisher.of(ImageRequested)
        assert event.position[:3] == delivered
        assert (event.id, event.subject) == (receipt.id, "s")
        with pytest.raises(InvalidEvent):
            await publisher.publish(ImageRequested(source=None, renditions=[]))  # type: ignore[arg-type]
    with pytest.raises(PublisherClosed):
        await publisher.publish(request())


def test_an_async_publisher_belongs_to_one_event_loop() -> None:
    publisher = AsyncMemoryPublisher()

    async def publish() -> None:
        await (await publisher.publish(request()))

    asyncio.run(publish())
    with pytest.raises(PublishError, match="belongs to another event loop"):
        asyncio.run(publish())


def test_they_stand_in_wherever_a_publisher_is_asked_for() -> None:
    assert isinstance(MemoryPublisher(), Publisher)
    assert isinstance(AsyncMemoryPublisher(), AsyncPublisher)
