"""One lane: a thread that has it alone, and moves its rows in order, a batch in a transaction.

Rows are removed only after the transaction is committed. Between the two the books know better than the table: who is
killed there leaves rows that the next owner removes without publishing them again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producers.outbox import books, rows
from producers.outbox.topics import BOOKS
from tidemill.errors import (
    DecodeError,
    NotAuthorized,
    OutboxError,
    SchemaNotRegistered,
    TidemillError,
    UnknownTopic,
)
from tidemill.outbox.row import headers_from_text
from tidemill.telemetry import get_logger
from tidemill.transactions import Aborted, Fenced, Halted, Refused, Transactions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from producers.outbox.database import Database
    from producers.outbox.locks import Locks
    from producers.outbox.rows import Waiting
    from producers.outbox.schemas import Schemas
    from producers.outbox.settings import OutboxSettings
    from tidemill.config import Settings
    from tidemill.destinations import Destinations
    from tidemill.event import Headers
    from tidemill.transactions import Writer, Written

TAKEN_PAUSE_SECONDS = 1.0
"""Another relay has the lane; it is asked for again after this."""
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A row that can be published."""

    row: Waiting
    value: bytes
    """In the Confluent wire format."""
    headers: Headers


class Lane:
    """Moves the rows of one lane until it is stopped.

    Args:
        number: Which one.
        settings: Kafka's addresses, namespace.
        outbox_settings: Sizes and waits.
        identity: The outbox's own id.
        database, locks, schemas, destinations: Shared by the lanes.
        on_failure: Called where the thread can't go on, with the reason.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        outbox_settings: OutboxSettings,
        identity: str,
        database: Database,
        locks: Locks,
        schemas: Schemas,
        destinations: Destinations,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.number = number
        self.moved = 0
        """Rows published and removed since the start."""
        self.is_owned = threading.Event()
        """Set while this relay has the lane."""
        self.wanted = threading.Event()
        """Cleared where another relay is to have it."""
        self.wanted.set()
        self._settings = settings
        self._outbox_settings = outbox_settings
        self._identity = identity
        self._database = database
        self._locks = locks
        self._schemas = schemas
        self._destinations = destinations
        self._on_failure = on_failure
        self._halt = threading.Event()
        self._wake = threading.Event()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._held: dict[tuple[str, bytes | None], int] = {}
        self._release_at = 0.0
        seconds = outbox_settings.poll_seconds if database.dialect == "sqlite" else outbox_settings.look_seconds
        self._look_seconds = seconds
        self._log = get_logger("outbox").bind(lane=number)
        self._thread = threading.Thread(target=self._run, name=f"outbox lane {number}", daemon=True)

    def start(self) -> None:
        """Take the lane, as soon as it is free."""
        self._thread.start()

    def wake(self) -> None:
        """There may be rows."""
        self._wake.set()

    def halt(self) -> None:
        """Give the lane up, as soon as the batch under way is through."""
        self._halt.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; returns whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._halt.is_set():
            try:
                self._serve()
            except Halted:
                return
            except Fenced:
                self._log.warning("fenced: another relay has the lane, nothing was published by this one")
                self._halt.wait(TAKEN_PAUSE_SECONDS)
            except TidemillError as error:
                self._log.error("the lane can't be moved, will try again", error=str(error))
                self._back_off()
            except BaseException as error:  # noqa: BLE001 - the thread's end must end the program, with the reason
                self._on_failure(error)
                return

    def _back_off(self) -> None:
        self._halt.wait(self._pause_seconds)
        self._pause_seconds = min(MOST_PAUSE_SECONDS, self._pause_seconds * 2)

    def _serve(self) -> None:
        if not self.wanted.is_set():
            self._halt.wait(TAKEN_PAUSE_SECONDS)
            return
        with self._database.connect() as connection:
            if not self._locks.take(connection, self.number):
                self._halt.wait(TAKEN_PAUSE_SECONDS)
                return
            transactions = Transactions(self._settings, f"tidemill.outbox.{self._identity}.{self.number}", self._halt)
            try:
                transactions.take_over()
                self._catch_up(connection)
                self.is_owned.set()
                while self.wanted.is_set() and not self._halt.is_set():
                    self._turn(connection, transactions)
                self._locks.give_back(connection, self.number)
            finally:
                self.is_owned.clear()
                transactions.close()

    def _catch_up(self, connection: Connection) -> None:
        """Remove what the relay before has published, but couldn't remove any more."""
        last = books.rows_of(books.last_entry(self._settings, self._identity, self.number, self._halt))
        with connection.begin():
            published = books.already_published(last, rows.event_ids(connection, last))
            removed = rows.remove(connection, published) if published else 0
        with connection.begin():
            self._held = rows.held_keys(connection, self.number)
        self._release_at = time.monotonic() + self._outbox_settings.hold_seconds
        self._log.info("has the lane", removed=removed)

    def _turn(self, connection: Connection, transactions: Transactions) -> None:
        self._wake.clear()
        if time.monotonic() >= self._release_at:
            self._try_held_again(connection)
        limits = self._outbox_settings
        with connection.begin():
            found = rows.take(connection, self.number, most_rows=limits.batch_rows, most_bytes=limits.batch_bytes)
        if not found:
            self._wake.wait(self._look_seconds)
            return
        batch, problems = self._sort_out(found)
        if problems:
            self._hold(connection, problems)
        if batch:
            self._publish(connection, transactions, batch)

    def _try_held_again(self, connection: Connection) -> None:
        self._release_at = time.monotonic() + self._outbox_settings.hold_seconds
        with connection.begin():
            released = rows.release(connection, self.number)
        if released:
            self._log.info("tries rows again that couldn't be published", rows=released)
        self._held.clear()

    def _sort_out(self, found: Sequence[Waiting]) -> tuple[list[Outgoing], dict[int, str]]:
        """The messages of rows, and what is against the other rows."""
        batch: list[Outgoing] = []
        problems: dict[int, str] = {}
        for row in found:
            try:
                batch.append(self._message(row))
            except (DecodeError, SchemaNotRegistered, UnknownTopic, NotAuthorized, OutboxError) as error:
                problems[row.id] = str(error)
                # At once: what follows of its key must not pass it.
                self._held.setdefault((row.topic, row.key), row.id)
        return batch, problems

    def _message(self, row: Waiting) -> Outgoing:
        before = self._held.get((row.topic, row.key)) if row.key is not None else None
        if before is not None:
            raise OutboxError(rows.WAITS_BEHIND.format(id=before))
        if (problem := self._destinations.against([row.topic]).get(row.topic)) is not None:
            raise problem
        return Outgoing(row, self._schemas.wire(row.subject, row.value), headers_from_text(row.headers))

    def _hold(self, connection: Connection, problems: dict[int, str]) -> None:
        """Set rows aside: those behind them, of other keys, go on."""
        with connection.begin():
            rows.hold(connection, problems)
        first = min(problems)
        self._log.error("rows can't be published and are held", rows=len(problems), row=first, problem=problems[first])

    def _publish(self, connection: Connection, transactions: Transactions, batch: Sequence[Outgoing]) -> None:
        written: dict[Written, Waiting] = {}
        moving = [message.row for message in batch]

        def write(writer: Writer) -> None:
            for message in batch:
                row = message.row
                written[writer.produce(row.topic, row.key, message.value, message.headers)] = row
            key = books.key_of(self._identity, self.number)
            writer.produce(self._settings.qualified(BOOKS.name), key, books.entry(moving), partition=self.number)

        try:
            transactions.run(write)
        except Refused as refused:
            problems = {
                written[record].id: str(error) for record, error in refused.records.items() if record in written
            }
            if not problems:
                raise OutboxError(f"The books can't be written: {refused}", retriable=True) from refused
            for row in moving:
                if row.id in problems:
                    self._held.setdefault((row.topic, row.key), row.id)
                    self._destinations.forget(row.topic)
            self._hold(connection, problems)
        except Aborted as aborted:
            self._log.warning("a transaction came to nothing, will try again", error=str(aborted))
            self._back_off()
        else:
            self._pause_seconds = FIRST_PAUSE_SECONDS
            with connection.begin():
                rows.remove(connection, [row.id for row in moving])
            self.moved += len(moving)
            self._log.debug("moved", rows=len(moving))
