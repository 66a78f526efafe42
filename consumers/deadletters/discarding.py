"""Discards letters: says for good that nothing is to be done about them. Their bytes stay where they are."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import select

from consumers.deadletters.acting import owning
from consumers.deadletters.actions import Action, Done, Kind
from consumers.deadletters.fold import chunks
from consumers.deadletters.index import NEVER_SECONDS
from consumers.deadletters.selection import Selection, conditions, places
from consumers.deadletters.tables import LETTERS

if TYPE_CHECKING:
    from consumers.deadletters.index import Index
    from consumers.deadletters.settings import DeadSettings
    from tidemill.config import Settings
    from tidemill.replay.interrupt import Interrupt
    from tidemill.transactions import Writer


def discard(
    settings: Settings,
    dead_settings: DeadSettings,
    index: Index,
    selection: Selection,
    interrupt: Interrupt,
    *,
    by: str,
    why: str,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Discard the letters of a selection; returns how many.

    Args:
        settings: Addresses, namespace.
        dead_settings: Sizes of transactions.
        index: Which letters there are.
        selection: Which of them.
        interrupt: Says when to stop, between two transactions.
        by: Who wants it.
        why: The reason, for the record.
        progress: Called with the letters that are through.

    Raises:
        DeadLetterError: Somebody else acts on the same letters.
        BrokerError: Kafka doesn't answer, or refuses.
    """
    with index.database.reading() as connection:
        topics = sorted({topic for topic, _ in places(connection, selection)})
    run, halt, count = str(uuid.uuid4()), threading.Event(), 0
    for topic in topics:
        with owning(settings, index, topic, halt) as owner:
            for some in chunks(_of_topic(index, selection, topic), dead_settings.batch_letters):
                if interrupt.asked:
                    break
                at_ms = round(time.time() * 1000)
                action = Action(Kind.DISCARD, run, by, at_ms, topic, why=why, letters=tuple(some))
                owner.act(_only(action))
                count += len(some)
                if progress is not None:
                    progress(count)
    if count:
        index.catch_up(NEVER_SECONDS)
    return count


def _only(action: Action) -> Callable[[Writer], Action]:
    """Writes nothing but the record of it."""
    return lambda _: action


def _of_topic(index: Index, selection: Selection, topic: str) -> Iterator[Done]:
    with index.database.reading() as connection:
        rows = connection.execution_options(yield_per=1_000).execute(
            select(LETTERS.c.partition, LETTERS.c.offset, LETTERS.c.written_ms)
            .where(*conditions(connection, selection), LETTERS.c.topic == topic)
            .order_by(LETTERS.c.partition, LETTERS.c.offset)
        )
        for row in rows:
            yield Done(row.partition, row.offset, row.written_ms)
