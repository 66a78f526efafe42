"""What became of the mails of a crash test, read from their topics as it comes: each message once, by one consumer."""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.working import ends, header
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent

SENT = EmailSent.__contract__.topic
DEAD = EmailRequested.__contract__.dead_topic


class Outcomes:
    """Reads `email.sent` and the dead letters from their beginning.

    Args:
        settings: Where they are.

    Attributes:
        told: What was told of each mail, by the id of its request.
        dead: Why the others became dead letters, by the same.
        count: All that was read, the same outcome twice included.
    """

    def __init__(self, settings: Settings) -> None:
        self.told: dict[str, EmailSent] = {}
        self.dead: dict[str, str] = {}
        self.count = 0
        self._settings = settings
        self._registry = Registry(settings)
        self._codec = Codec(self._registry)
        self._consumer = Consumer(broker.consumer_config(settings, "tests"))
        self._consumer.assign(
            [
                TopicPartition(settings.qualified(topic), partition, 0)
                for topic in (SENT, DEAD)
                for partition in ends(settings, topic)
            ]
        )

    def missing(self, ids: Collection[str]) -> set[str]:
        """Which of these requests have no outcome yet."""
        return set(ids) - self.told.keys() - self.dead.keys()

    def await_all(self, ids: Collection[str], deadline: float) -> None:
        """Wait until each mail has an outcome.

        Args:
            ids: Of the requests.
            deadline: By the monotonic clock, in seconds; then the test fails with the ids of those without one.
        """
        while missing := self.missing(ids):
            if time.monotonic() > deadline:
                pytest.fail(f"{len(missing)} of {len(ids)} mails have no outcome in time: {sorted(missing)[:10]}")
            self.read(0.1)

    def await_count(self, count: int, deadline: float) -> None:
        """Wait until so many outcomes were told in all, or fail at the deadline."""
        while self.count < count:
            if time.monotonic() > deadline:
                pytest.fail(f"{self.count} of {count} outcomes were told in time.")
            self.read(0.1)

    def close(self) -> None:
        """Let go of Kafka and the registry."""
        self._consumer.close()
        self._registry.close()

    def read(self, seconds: float) -> None:
        """Take what has come, or comes within this time."""
        for message in self._consumer.consume(500, seconds):
            if message.error() is not None:
                continue
            self.count += 1
            if message.topic() == self._settings.qualified(SENT):
                event = Event.received(self._codec.decode(message.value(), EmailSent), message)
                # The same event may be told twice, by a worker that was killed before its commit; it says the same.
                assert self.told.setdefault(event.cause or "", event.payload) == event.payload
            else:
                why = f"{header(message, 'tm_dead_error')}: {header(message, 'tm_dead_message')}"
                self.dead[header(message, "ce_id")] = why
