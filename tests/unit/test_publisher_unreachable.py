"""Publishing where no broker answers: never silence, always an error that says so and what to do."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from tidemill import AsyncPublisher, Publisher, Settings, load_settings
from tidemill.codec import Codec
from tidemill.errors import BrokerUnreachable, BufferFull, NotDelivered, PublisherClosed
from tidemill.events import ImageRequested, Rendition
from tidemill.testing import MemorySchemas

# Port 1 (tcpmux) is served by nobody, and needs privileges that tests don't have.
NOBODY = "127.0.0.1:1"
EVENT = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)])


def settings(**overrides: object) -> Settings:
    return load_settings(bootstrap_servers=NOBODY, buffer_wait_seconds=0.2, **overrides)


def publisher_for(configured: Settings, **kafka: object) -> Publisher:
    return Publisher(configured, codec=Codec(MemorySchemas()), kafka=kafka)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = publisher_for(settings())
    yield publisher
    publisher._core.stop()


def test_a_receipt_that_is_waited_for_tells_that_no_broker_answers(publisher: Publisher) -> None:
    receipt = publisher.publish(EVENT)
    assert not receipt.done
    with pytest.raises(BrokerUnreachable) as caught:
        receipt.result(timeout=0.7)
    assert NOBODY in str(caught.value)
    assert "`tidemill up`" in str(caught.value)
    assert caught.value.retriable
    assert receipt.id in repr(receipt)


def test_a_flush_tells_how_many_events_wait(publisher: Publisher) -> None:
    for _ in range(3):
        publisher.publish(EVENT)
    with pytest.raises(BrokerUnreachable, match="3 events wait"):
        publisher.flush(timeout=0.7)


def test_an_event_fails_for_good_when_its_time_is_over() -> None:
    publisher = publisher_for(settings(delivery_timeout_seconds=1))
    receipt = publisher.publish(EVENT)
    with pytest.raises(BrokerUnreachable):
        receipt.result()
    assert receipt.done
    with pytest.raises(NotDelivered, match=r"1 events? failed since the last flush: No Kafka broker answers"):
        publisher.flush()
    publisher.flush()
    publisher.close()


def test_a_full_buffer_is_waited_for_and_then_an_error() -> None:
    publisher = publisher_for(settings(), **{"queue.buffering.max.messages": 5})
    for _ in range(5):
        publisher.publish(EVENT)
    began = time.monotonic()
    with pytest.raises(BufferFull) as caught:
        publisher.publish(EVENT)
    assert time.monotonic() - began >= 0.2
    assert "stayed full for 0.2 s (buffer_wait_seconds)" in str(caught.value)
    assert caught.value.retriable
    publisher._core.stop()


def test_what_was_not_delivered_at_close_fails_its_receipt() -> None:
    publisher = publisher_for(settings())
    receipts = [publisher.publish(EVENT) for _ in range(3)]
    with pytest.raises((BrokerUnreachable, NotDelivered), match="events"):
        publisher.close(timeout=0.1)
    for receipt in receipts:
        with pytest.raises((NotDelivered, BrokerUnreachable), match=NOBODY):
            receipt.result(timeout=5)
    publisher.close()
    with pytest.raises(PublisherClosed):
        publisher.publish(EVENT)


def test_the_error_of_a_block_goes_on_and_tells_what_was_lost() -> None:
    def work() -> None:
        with publisher_for(settings(delivery_timeout_seconds=0.5)) as publisher:
            publisher.publish(EVENT)
            raise ValueError("the block's own")

    with pytest.raises(ValueError, match="the block's own") as caught:
        work()
    (note,) = caught.value.__notes__
    assert note.startswith("While closing the publisher:")
    assert NOBODY in note


def test_leaving_a_block_is_an_error_if_something_was_not_delivered() -> None:
    with (
        pytest.raises((NotDelivered, BrokerUnreachable), match=NOBODY),
        publisher_for(settings(delivery_timeout_seconds=0.5)) as publisher,
    ):
        publisher.publish(EVENT)


def test_a_closed_publisher_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    publisher = publisher_for(settings())
    publisher.publish(EVENT)
    with pytest.raises((NotDelivered, BrokerUnreachable)):
        publisher.close(timeout=0.1)
    assert threading.active_count() == before


def test_closing_while_others_publish_settles_every_receipt() -> None:
    publisher = publisher_for(settings())
    receipts = []
    publishing = threading.Barrier(5)

    def publish() -> None:
        publishing.wait()
        while True:
            try:
                receipts.append(publisher.publish(EVENT))
            except PublisherClosed:
                return

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    publishing.wait()
    deadline = time.monotonic() + 10
    while len(receipts) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with pytest.raises((NotDelivered, BrokerUnreachable)):
        publisher.close(timeout=0.2)
    for thread in threads:
        thread.join()
    assert receipts
    for receipt in receipts:
        with pytest.raises((NotDelivered, BrokerUnreachable)):
            receipt.result(timeout=5)
        assert receipt.done


def test_connection_trouble_is_logged_for_whoever_listens(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tidemill"), pytest.raises(BrokerUnreachable):
        publisher.publish(EVENT).result(timeout=0.7)
    assert any(NOBODY in record.getMessage() for record in caplog.records)


async def test_an_async_receipt_tells_it_too() -> None:
    publisher = AsyncPublisher(settings(), codec=Codec(MemorySchemas()))
    receipt = await publisher.publish(EVENT)
    with pytest.raises(BrokerUnreachable, match=NOBODY):
        await receipt.result(timeout=0.7)
    with pytest.raises(BrokerUnreachable, match=r"1 events? wait"):
        await publisher.close(timeout=0.1)
    with pytest.raises((NotDelivered, BrokerUnreachable), match=NOBODY):
        await receipt


async def test_an_async_flush_misses_no_failure() -> None:
    publisher = AsyncPublisher(settings(delivery_timeout_seconds=1), codec=Codec(MemorySchemas()))
    receipts = [await publisher.publish(EVENT) for _ in range(50)]
    with pytest.raises(NotDelivered, match="50 events failed since the last flush"):
        await publisher.flush()
    assert all(receipt.done for receipt in receipts)
    await publisher.close()


async def test_a_full_buffer_holds_up_one_task_and_not_the_loop() -> None:
    publisher = AsyncPublisher(settings(), codec=Codec(MemorySchemas()), kafka={"queue.buffering.max.messages": 1})
    await publisher.publish(EVENT)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    task = asyncio.create_task(others())
    with pytest.raises(BufferFull):
        await publisher.publish(EVENT)
    task.cancel()
    assert turns >= 3
    with pytest.raises((BrokerUnreachable, NotDelivered)):
        await publisher.close(timeout=0.1)
