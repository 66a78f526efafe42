"""The keeper of one partition: a thread that takes it over, learns its state from the log, and acts when it is time.

It never trusts that it is the only one: all it emits goes through transactions that fail once another instance has
taken over. Having failed so, it forgets what it knows and begins anew, as long as the group says the partition is its.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.errors import TidemillError
from tidemill.telemetry import get_logger
from tidemill.transactions import Aborted, Fenced, Halted, Refused, Transactions

if TYPE_CHECKING:
    from confluent_kafka import Message

    from scheduler.ownership.duty import Duty
    from tidemill.config import Settings

BATCH = 1000
MOST_WAIT_SECONDS = 0.5
"""How long the thread sleeps at most: a clock that is set meanwhile, or a halt, is seen that late."""
FENCED_PAUSE_SECONDS = 1.0
"""Time for the group to say that the partition isn't ours any more, before it is taken over again."""
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.2, 5.0
LOOK_SECONDS = 10.0


class Keeper:
    """Owns one partition until it is stopped.

    Args:
        settings: Addresses, security, namespace.
        group: The scheduler's consumer group, for names.
        topic: Without the namespace.
        partition: Which one.
        make_duty: Makes the partition's duty, empty.
        on_failure: Called where the thread can't go on, with the reason.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topic: str,
        partition: int,
        make_duty: Callable[[], Duty],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._group = group
        self._topic = topic
        self._partition = partition
        self._make_duty = make_duty
        self._on_failure = on_failure
        self._halt = threading.Event()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self.ready = threading.Event()
        """Set while the partition is taken over and its state is known."""
        self._log = get_logger("scheduler").bind(topic=settings.qualified(topic), partition=partition)
        self._thread = threading.Thread(target=self._run, name=f"keeper of {topic}[{partition}]", daemon=True)

    def start(self) -> None:
        """Take the partition over."""
        self._thread.start()

    def halt(self) -> None:
        """Give the partition up, as soon as the transaction under way is through."""
        self._halt.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; returns whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._halt.is_set():
            try:
                self._keep()
            except Halted:
                return
            except Fenced:
                self._log.warning(
                    "fenced: another instance has taken the partition over, nothing was emitted by this one"
                )
                self._halt.wait(FENCED_PAUSE_SECONDS)
            except TidemillError as error:
                self._log.error("the partition can't be served, will try again", error=str(error))
                self._back_off()
            except BaseException as error:  # noqa: BLE001 - the thread's end must end the program, with the reason
                self._on_failure(error)
                return

    def _back_off(self) -> None:
        self._halt.wait(self._pause_seconds)
        self._pause_seconds = min(MOST_PAUSE_SECONDS, self._pause_seconds * 2)

    def _keep(self) -> None:
        transactions = Transactions(self._settings, f"{self._group}.{self._topic}-{self._partition}", self._halt)
        consumer = Consumer(
            {
                **broker.consumer_config(self._settings, f"{self._group}.log"),
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 8_192,
            }
        )
        duty = self._make_duty()
        try:
            started = time.monotonic()
            transactions.take_over()
            records = self._load(consumer, duty)
            seconds = round(time.monotonic() - started, 3)
            self._log.info("owns the partition", records=records, seconds=seconds)
            self.ready.set()
            while not self._halt.is_set():
                self._turn(consumer, duty, transactions)
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings, topic=self._topic) from error
        finally:
            self.ready.clear()
            duty.close()
            transactions.close()
            consumer.close()

    def _load(self, consumer: Consumer, duty: Duty) -> int:
        """Read the log up to where it ended when the owner before was shut out."""
        # Not the end that readers of committed events see: while anybody else's transaction is open, that lies before
        # records of the last owner which count.
        end = self._end()
        consumer.assign([TopicPartition(self._settings.qualified(self._topic), self._partition, 0)])
        records = 0
        position: int = 0
        while position < end:
            if self._halt.is_set():
                raise Halted
            for message in self._fetch(consumer, MOST_WAIT_SECONDS):
                error = message.error()
                position = message.offset() or 0
                if error is None:
                    duty.take(message)
                    records += 1
                    position += 1
        duty.loaded()
        return records

    def _end(self) -> int:
        partition = TopicPartition(self._settings.qualified(self._topic), self._partition)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        admin = broker.admin_client(self._settings)
        (future,) = admin.list_offsets({partition: latest}, request_timeout=LOOK_SECONDS).values()
        end: int = future.result(timeout=2 * LOOK_SECONDS).offset
        return end

    def _turn(self, consumer: Consumer, duty: Duty, transactions: Transactions) -> None:
        due_at = duty.next_at()
        wait = MOST_WAIT_SECONDS if due_at is None else min(MOST_WAIT_SECONDS, max(0.0, due_at - time.time()))
        for message in self._fetch(consumer, wait):
            if message.error() is None:
                duty.take(message)
        deed = duty.due(time.time())
        if deed is None:
            return
        try:
            transactions.run(deed.write)
        except Refused as refused:
            deed.refused(refused)
        except Aborted as aborted:
            self._log.warning("a transaction came to nothing, will try again", error=str(aborted))
            self._back_off()
        else:
            deed.written()
            self._pause_seconds = FIRST_PAUSE_SECONDS

    def _fetch(self, consumer: Consumer, wait_seconds: float) -> list[Message]:
        """Records, and the marks of the log's present end; waits only for the first."""
        first = consumer.poll(wait_seconds)
        if first is None:
            return []
        messages = [first, *consumer.consume(BATCH - 1, 0)]
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.fatal() or not error.retriable():
                    raise broker.from_kafka(error, self._settings, topic=self._topic)
                self._log.warning("reading", error=error.str())
        return messages
