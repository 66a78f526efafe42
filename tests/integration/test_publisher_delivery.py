"""Publishing to a real Kafka: every event arrives once, where its receipt says, and every failure has its error."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tidemill import AsyncPublisher, Event, Publisher, Settings, broker, topics
from tidemill.codec import Codec
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.errors import (
    BrokerUnreachable,
    EventTooLarge,
    NotDelivered,
    RegistryError,
    SchemaNotRegistered,
    UnknownTopic,
)
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.partitioning import partition_of

CONTRACTS = [ImageRequested.__contract__, ImageProcessed.__contract__]


def request(number: int = 1) -> ImageRequested:
    return ImageRequested(source=f"file:///{number}.jpg", renditions=[Rendition(name="thumb", width=200)])


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Settings of a cluster that has the topics and the schemas."""
    topics.apply(settings, CONTRACTS)
    with Registry(settings) as registry:
        register_contracts(registry, CONTRACTS, dry_run=False)
    return settings


@pytest.fixture
def publisher(ready: Settings) -> Iterator[Publisher]:
    with Publisher(ready) as publisher:
        yield publisher


def messages(settings: Settings, count: int, *, topic: str = "image.requested") -> list[Message]:
    """The first so many messages of a topic, read by a plain consumer."""
    consumer = Consumer(broker.consumer_config(settings, "reader"))
    try:
        name = settings.qualified(topic)
        there = consumer.list_topics(name, timeout=10).topics[name].partitions
        consumer.assign([TopicPartition(name, number, 0) for number in there])
        found: list[Message] = []
        deadline = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} messages"
            found += [message for message in consumer.consume(1000, 0.2) if message.error() is None]
        # One more look, so that one too many is seen.
        found += [message for message in consumer.consume(1000, 0.3) if message.error() is None]
        return found
    finally:
        consumer.close()


def test_a_published_event_is_read_as_it_was(ready: Settings, publisher: Publisher) -> None:
    receipt = publisher.publish(request(), subject="customer 7", headers={"batch": "7"})
    delivered = receipt.result(timeout=10)
    (message,) = messages(ready, 1)
    assert (message.topic(), message.partition(), message.offset()) == delivered
    with Registry(ready) as registry:
        payload = Codec(registry).decode(message.value(), ImageRequested)
    event = Event.received(payload, message)
    assert event.payload == request()
    assert (event.id, event.key, event.subject) == (receipt.id, "file:///1.jpg", "customer 7")
    assert event.headers == {"batch": b"7"}
    assert event.type == "image.requested"
    assert abs(event.time.timestamp() - time.time()) < 60


def test_a_key_lies_in_the_partition_that_java_would_choose(ready: Settings, publisher: Publisher) -> None:
    keys = ["21", "foobar", "abc", "naïve ☃", *(f"customer-{number}" for number in range(200))]
    for key in keys:
        publisher.publish(request(), key=key)
    publisher.flush()
    found = messages(ready, len(keys))
    assert {(message.key() or b"").decode(): message.partition() for message in found} == {
        key: partition_of(key.encode(), 12) for key in keys
    }


def test_eight_threads_publish_at_once_and_every_receipt_is_right(ready: Settings, publisher: Publisher) -> None:
    receipts: dict[int, object] = {}

    def publish(first: int) -> None:
        sent = {number: publisher.publish(request(number)) for number in range(first, first + 500)}
        receipts.update({number: receipt.result(timeout=20) for number, receipt in sent.items()})

    threads = [threading.Thread(target=publish, args=(first,)) for first in range(0, 4000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 4000
    with Registry(ready) as registry:
        codec = Codec(registry)
        read = {
            int(codec.decode(message.value(), ImageRequested).source[8:-4]): (
                message.topic(),
                message.partition(),
                message.offset(),
            )
            for message in messages(ready, 4000)
        }
    assert read == receipts


async def test_ten_thousand_concurrent_publishes_need_no_thread_each(ready: Settings) -> None:
    before = threading.active_count()
    most = before

    async def publish(publisher: AsyncPublisher, number: int) -> tuple[str, int, int]:
        nonlocal most
        receipt = await publisher.publish(request(number))
        most = max(most, threading.active_count())
        return await receipt

    async with AsyncPublisher(ready) as publisher:
        delivered = await asyncio.gather(*(publish(publisher, number) for number in range(10_000)))
    assert len(set(delivered)) == 10_000
    # The delivery thread, and those of asyncio's pool that looked up the schema and flush.
    assert most - before <= 4
    assert len(messages(ready, 10_000)) == 10_000


async def test_the_first_events_of_a_class_ask_the_registry_once(ready: Settings) -> None:
    class Counting(Registry):
        asked = 0

        def lookup_id(self, subject: str, schema_json: str) -> int:
            self.asked += 1
            return super().lookup_id(subject, schema_json)

    registry = Counting(ready)
    async with AsyncPublisher(ready, codec=Codec(registry)) as publisher:
        await asyncio.gather(*(publisher.publish(request(number)) for number in range(100)))
    registry.close()
    assert registry.asked == 1


def test_an_unknown_topic_is_told_by_the_receipt_and_once_by_flush(settings: Settings) -> None:
    with Registry(settings) as registry:
        register_contracts(registry, CONTRACTS, dry_run=False)
    publisher = Publisher(settings, kafka={"topic.metadata.propagation.max.ms": 100})
    receipt = publisher.publish(request())
    with pytest.raises(UnknownTopic) as caught:
        receipt.result(timeout=20)
    assert f"{settings.namespace}image.requested" in str(caught.value)
    assert "`tidemill topics apply`" in str(caught.value)
    assert not caught.value.retriable
    with pytest.raises(NotDelivered, match=r"1 events? failed since the last flush: Topic '"):
        publisher.flush()
    publisher.flush()
    publisher.close()


def test_an_unregistered_schema_is_told_and_may_be_registered_meanwhile(settings: Settings) -> None:
    topics.apply(settings, CONTRACTS)
    with Publisher(settings) as publisher:
        with pytest.raises(SchemaNotRegistered, match="Run `tidemill schemas register`") as caught:
            publisher.publish(request())
        assert not caught.value.retriable
        with Registry(settings) as registry:
            register_contracts(registry, CONTRACTS, dry_run=False)
        publisher.publish(request()).result(timeout=10)


def test_a_registry_that_is_away_is_told_with_its_address(ready: Settings) -> None:
    away = ready.model_copy(update={"registry_url": "http://127.0.0.1:1/apis/ccompat/v7"})
    with Publisher(away) as publisher, pytest.raises(RegistryError, match=r"127\.0\.0\.1:1") as caught:
        publisher.publish(request())
    assert caught.value.retriable


async def test_an_unregistered_schema_is_told_to_every_waiting_task(settings: Settings) -> None:
    async with AsyncPublisher(settings) as publisher:
        answers = await asyncio.gather(*(publisher.publish(request()) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {SchemaNotRegistered}


def test_the_largest_event_that_settings_allow_is_taken(ready: Settings) -> None:
    def sized(length: int) -> ImageRequested:
        return ImageRequested(source="a", renditions=[Rendition(name="x" * length)])

    # Incompressible, so that the topic's own limit is met as well.
    with Publisher(ready, kafka={"compression.type": "none"}) as publisher:
        length = ready.max_event_bytes
        with pytest.raises(EventTooLarge):
            publisher.publish(sized(length))
        while True:
            length -= 8
            try:
                receipt = publisher.publish(sized(length))
            except EventTooLarge:
                continue
            break
        receipt.result(timeout=20)
    assert ready.max_event_bytes - length < 1000


def test_an_event_that_the_topic_refuses_as_too_large_is_told_by_its_receipt(ready: Settings) -> None:
    name = ready.qualified("image.requested")
    entry = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin = broker.admin_client(ready)
    admin.incremental_alter_configs([resource])[resource].result(10)
    publisher = Publisher(ready, kafka={"compression.type": "none"})
    receipt = publisher.publish(ImageRequested(source="a", renditions=[Rendition(name="x" * 5000)]))
    with pytest.raises(EventTooLarge, match=rf"An event of 5,0\d\d bytes for topic '{name}' is larger than is taken"):
        receipt.result(timeout=20)
    with pytest.raises(NotDelivered):
        publisher.close()


def run(code: str, settings: Settings, folder: Path) -> str:
    """What a program prints that has these settings in its environment."""
    environment = {
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(folder),
    }
    event = 'ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="a")])'
    imports = "import os, sys\nfrom tidemill import Publisher\nfrom tidemill.events import ImageRequested, Rendition\n"
    done = subprocess.run(
        [sys.executable, "-c", imports + code.replace("EVENT", event)],
        env=environment,
        cwd=folder,
        text=True,
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_program_that_ends_without_close_delivers_what_waits(ready: Settings, tmp_path: Path) -> None:
    run(
        'publisher = Publisher(kafka={"linger.ms": 500})\nfor _ in range(100): publisher.publish(EVENT)',
        ready,
        tmp_path,
    )
    assert len(messages(ready, 100)) == 100


def test_a_program_that_ends_by_sys_exit_delivers_what_waits(ready: Settings, tmp_path: Path) -> None:
    code = """
publisher = Publisher(kafka={"linger.ms": 500})
publisher.publish(EVENT)
sys.exit(0)
"""
    run(code, ready, tmp_path)
    assert len(messages(ready, 1)) == 1


FORK = """
publisher = Publisher()
publisher.publish(EVENT).result(10)
waiting = publisher.publish(EVENT)
for _ in range(2):
    child = os.fork()
    if not child:
        publisher.publish(EVENT).result(10)
        publisher.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
waiting.result(10)
publisher.publish(EVENT).result(10)
publisher.close()
"""


def test_a_publisher_made_before_a_fork_works_in_every_process(ready: Settings, tmp_path: Path) -> None:
    run(FORK, ready, tmp_path)
    # Three of the parent and one of each child; none twice.
    assert len(messages(ready, 5)) == 5


def test_a_receipt_of_the_parent_is_refused_in_a_forked_child(ready: Settings, tmp_path: Path) -> None:
    code = """
publisher = Publisher(kafka={"linger.ms": 2000})
receipt = publisher.publish(EVENT)
child = os.fork()
if not child:
    try: receipt.result()
    except Exception as error: print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
publisher.close()
"""
    assert "was published before this process was forked" in run(code, ready, tmp_path)


def test_a_broker_that_comes_back_gets_what_waited(ready: Settings, stack: object) -> None:
    from tidemill.local import Stack

    if not isinstance(stack, Stack):
        pytest.skip("needs a broker that can be paused")
    with Publisher(ready) as publisher:
        publisher.publish(request()).result(timeout=10)
        stack.broker(1).pause()
        try:
            receipt = publisher.publish(request())
            with pytest.raises((NotDelivered, BrokerUnreachable), match=r"is not acknowledged after 0\.5 s"):
                receipt.result(timeout=0.5)
        finally:
            stack.broker(1).resume()
        assert receipt.result(timeout=20).topic == ready.qualified("image.requested")
    assert len(messages(ready, 2)) == 2


def test_a_full_buffer_is_waited_for_until_there_is_room(ready: Settings) -> None:
    with Publisher(ready, kafka={"queue.buffering.max.messages": 20, "linger.ms": 1}) as publisher:
        for number in range(1000):
            publisher.publish(request(number))
    assert len(messages(ready, 1000)) == 1000


async def test_a_full_buffer_is_waited_for_in_a_loop_too(ready: Settings) -> None:
    async with AsyncPublisher(ready, kafka={"queue.buffering.max.messages": 20, "linger.ms": 1}) as publisher:
        await asyncio.gather(*(publisher.publish(request(number)) for number in range(1000)))
    assert len(await asyncio.to_thread(messages, ready, 1000)) == 1000
