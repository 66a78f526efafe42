"""Puts letters back: each event and the record of it in one transaction, so that each goes back once.

A command that was stopped, or killed, is simply given again: what it had put back is not open any more.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from consumers.deadletters.acting import Owner, owning
from consumers.deadletters.actions import Action, Kind
from consumers.deadletters.fetching import Fetching
from consumers.deadletters.index import NEVER_SECONDS
from consumers.deadletters.outgoing import Outgoing, outgoing
from consumers.deadletters.selection import Selection, place_text, places
from consumers.deadletters.topics import source_of
from tidemill.destinations import look_at
from tidemill.errors import RegistryError, TidemillError
from tidemill.runtime.redrive import marked
from tidemill.transactions import Refused

if TYPE_CHECKING:
    from array import array

    from confluent_kafka import Message

    from consumers.deadletters.editing import Edit
    from consumers.deadletters.fold import Place
    from consumers.deadletters.index import Index
    from consumers.deadletters.settings import DeadSettings
    from tidemill.config import Settings
    from tidemill.replay.interrupt import Interrupt
    from tidemill.transactions import Writer, Written

SMOOTH_SECONDS = 0.25
"""With a rate: how much goes into one transaction."""
MOST_SAMPLES = 5
MOST_REASONS = 1_000
"""Different ones that are counted: texts of errors may hold anything."""
OTHERWISE = "other reasons"
GONE = "its topic holds it no more"


@dataclass(frozen=True)
class Orders:
    """What is to be done.

    Args:
        by: Who wants it.
        why: The reason, for the record.
        edit: What payloads are changed by; None for the bytes as they are.
        to_stream: The stream that is to handle them; None for the one where each died.
        per_second: Events a second at most; None for no limit.
    """

    by: str
    why: str = ""
    edit: Edit | None = None
    to_stream: str | None = None
    per_second: float | None = None


@dataclass
class Outcome:
    """What came of it."""

    run: str
    put_back: int = 0
    left: Counter[str] = field(default_factory=Counter)
    """Letters that were left where they are, by reason."""
    samples: list[tuple[str, str]] = field(default_factory=list)
    """Places and reasons of the first ones."""
    is_stopped: bool = False
    """Whether somebody wanted an end before all was done."""

    def leave(self, place: str, error: TidemillError) -> None:
        """A letter isn't put back."""
        known = error.message in self.left or len(self.left) < MOST_REASONS
        self.left[error.message if known else OTHERWISE] += 1
        if len(self.samples) < MOST_SAMPLES:
            self.samples.append((place, str(error)))


class Redriving:
    """Puts the letters of a selection back.

    Args:
        settings: Addresses, namespace.
        dead_settings: Sizes of transactions.
        index: Which letters there are.
        orders: What is to be done.
        interrupt: Says when to stop, between two transactions.
        progress: Called with the letters that are through.
    """

    def __init__(
        self,
        settings: Settings,
        dead_settings: DeadSettings,
        index: Index,
        orders: Orders,
        interrupt: Interrupt,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.outcome = Outcome(str(uuid.uuid4()))
        self._settings, self._dead_settings, self._index = settings, dead_settings, index
        self._orders = orders
        self._interrupt = interrupt
        self._progress = progress
        self._halt = threading.Event()
        self._most = dead_settings.batch_letters
        if orders.per_second is not None:
            self._most = max(1, min(self._most, round(orders.per_second * SMOOTH_SECONDS)))
        self._written: list[Written] = []
        """Where the events of the present batch lie, in their order."""
        self._began = 0.0
        self._passed = 0

    def run(self, selection: Selection) -> Outcome:
        """Put them back, topic by topic, each partition in order.

        Raises:
            DeadLetterError: Somebody else acts on the same letters.
            BrokerError: Kafka doesn't answer, or refuses.
            RegistryError: A payload is to be changed, and the registry doesn't answer.
        """
        with self._index.database.reading() as connection:
            topics = sorted({topic for topic, _ in places(connection, selection)})
        self._began = time.monotonic()
        for topic in topics:
            if self._interrupt.asked:
                break
            self._of_topic(topic, selection)
        self.outcome.is_stopped = self._interrupt.asked
        if self.outcome.put_back:
            self._index.catch_up(NEVER_SECONDS)
        return self.outcome

    def _of_topic(self, topic: str, selection: Selection) -> None:
        target = source_of(topic)
        name = self._settings.qualified(target)
        with owning(self._settings, self._index, topic, self._halt) as owner:
            with self._index.database.reading() as connection:
                # What was open before may have been put back by whoever owned it until now.
                chosen = {place: found for place, found in places(connection, selection).items() if place[0] == topic}
            if problem := look_at(self._settings, [name]).get(name):
                self._leave_all(chosen, problem)
                return
            topic_id, partitions = self._index.cluster.topic_ids([name])[name]
            action = Action(
                Kind.REDRIVE,
                self.outcome.run,
                self._orders.by,
                0,
                topic,
                why=self._orders.why,
                to_topic=target,
                to_topic_id=topic_id,
                edit=self._orders.edit.text if self._orders.edit is not None else "",
            )
            with closing(Fetching(self._settings)) as fetching:
                for (_, partition), offsets in sorted(chosen.items()):
                    letters = fetching.letters(topic, partition, offsets)
                    for batch in self._batches(letters, len(partitions)):
                        self._put_back(owner, action, batch)
                        if self._interrupt.asked:
                            return
                if fetching.missing:
                    self.outcome.left[GONE] += fetching.missing

    def _leave_all(self, chosen: dict[Place, array[int]], problem: TidemillError) -> None:
        for (topic, partition), offsets in chosen.items():
            for offset in offsets:
                self.outcome.leave(place_text(topic, partition, offset), problem)

    def _batches(self, letters: Iterator[Message], partitions: int) -> Iterator[list[Outgoing]]:
        batch: list[Outgoing] = []
        size_bytes = 0
        for message in letters:
            try:
                event = outgoing(message, self._settings.namespace, partitions, self._orders.to_stream)
                if self._orders.edit is not None:
                    event = self._orders.edit.applied(event)
            except RegistryError:
                raise  # That is no letter's fault.
            except TidemillError as error:
                topic = (message.topic() or "").removeprefix(self._settings.namespace)
                self.outcome.leave(place_text(topic, message.partition() or 0, message.offset() or 0), error)
                continue
            batch.append(event)
            size_bytes += event.size_bytes
            if len(batch) >= self._most or size_bytes >= self._dead_settings.batch_bytes:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def _put_back(self, owner: Owner, action: Action, batch: list[Outgoing]) -> None:
        while batch:
            try:
                owner.act(lambda writer: self._write(writer, action, batch))  # noqa: B023 - called before the next turn
            except Refused as refused:
                kept = []
                for event, there in zip(batch, self._written, strict=True):
                    problem = refused.records.get(there)
                    if problem is None:
                        kept.append(event)
                    else:
                        letter = event.letter
                        self.outcome.leave(place_text(letter.topic, letter.partition, letter.offset), problem)
                if len(kept) == len(batch):
                    raise next(iter(refused.records.values())) from refused
                batch = kept
            else:
                self.outcome.put_back += len(batch)
                self._pass(len(batch))
                return

    def _write(self, writer: Writer, action: Action, batch: list[Outgoing]) -> Action:
        name = self._settings.qualified(action.to_topic)
        now_ms = round(time.time() * 1000)
        self._written = [
            writer.produce(
                name, event.key, event.value, event.headers, partition=event.partition, timestamp_ms=marked(now_ms)
            )
            for event in batch
        ]
        # Only then it is known where they lie, and the record has to say so.
        writer.flush()
        done = tuple(
            event.done(there.partition, there.offset) for event, there in zip(batch, self._written, strict=True)
        )
        return replace(action, at_ms=now_ms, letters=done)

    def _pass(self, count: int) -> None:
        """So many are through; with a rate, wait until it is time for more."""
        self._passed += count
        if self._progress is not None:
            self._progress(self._passed)
        if self._orders.per_second is None:
            return
        due = self._began + self._passed / self._orders.per_second
        while (left_seconds := due - time.monotonic()) > 0 and not self._interrupt.asked:
            time.sleep(min(left_seconds, 0.1))
