"""Whoever acts on the letters of a topic owns it meanwhile: nobody else can put the same letters back, or discard them.

The owner is shut out by whoever comes next (its transactional id), also after it was killed: its open transaction comes
to nothing. What it had committed lies in `dead.actions`, which the next owner reads before it does anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from consumers.deadletters.index import NEVER_SECONDS
from consumers.deadletters.topics import ACTIONS, action_partition
from tidemill.destinations import look_at
from tidemill.errors import BrokerError, DeadLetterError, UnknownTopic
from tidemill.transactions import Aborted, Fenced, Halted, Transactions

if TYPE_CHECKING:
    from consumers.deadletters.actions import Action
    from consumers.deadletters.index import Index
    from tidemill.config import Settings
    from tidemill.transactions import Writer

TRIES = 8
FIRST_PAUSE_SECONDS = 0.2


class Owner:
    """Acts on the letters of one topic.

    Args:
        settings: Addresses, namespace.
        topic: Of the dead letters, without the namespace.
        transactions: Whose latest owner this is.
    """

    def __init__(self, settings: Settings, topic: str, transactions: Transactions) -> None:
        self._settings = settings
        self._topic = topic
        self._transactions = transactions

    def act(self, write: Callable[[Writer], Action]) -> None:
        """Do something in one transaction, together with the record of it.

        Args:
            write: Writes it, and says what it is.

        Raises:
            DeadLetterError: Somebody else has become the owner; nothing of it is done.
            Refused: The brokers will never take some of it; nothing of it is done.
            BrokerError: It can't be done, now or at all.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        for attempt in range(TRIES):
            try:
                self._transactions.run(lambda writer: self._write(writer, write))
                return
            except Aborted as aborted:
                if attempt == TRIES - 1:
                    raise BrokerError(
                        f"A transaction came to nothing {TRIES} times: {aborted}.",
                        hint="Nothing of it was done. Look whether all brokers are up, and run the command again.",
                        retriable=True,
                    ) from aborted
            except Fenced as fenced:
                raise DeadLetterError(
                    f"Somebody else acts on the letters of {self._topic!r} now, and has taken over.",
                    hint="What was done up to then is done once. `tidemill dead audit` says who it is.",
                ) from fenced
            except Halted as halted:
                raise KeyboardInterrupt from halted
            time.sleep(pause_seconds)
            pause_seconds *= 1.5

    def _write(self, writer: Writer, write: Callable[[Writer], Action]) -> None:
        action = write(writer)
        writer.produce(
            self._settings.qualified(ACTIONS.name),
            action.run.encode(),
            action.record(),
            partition=action_partition(self._topic),
        )


@contextmanager
def owning(settings: Settings, index: Index, topic: str, halt: threading.Event) -> Iterator[Owner]:
    """Own the letters of a topic for the time of the block; the index says all that was done about them before.

    Args:
        settings: Addresses, namespace.
        index: Is brought up to date.
        topic: Of the dead letters, without the namespace.
        halt: Set where what would wait is to be given up.

    Raises:
        UnknownTopic: There is no topic for what is done.
        DeadLetterError: Not all of what was done can be read now.
        BrokerError: The cluster doesn't answer, or refuses.
    """
    actions = settings.qualified(ACTIONS.name)
    for problem in look_at(settings, [actions]).values():
        if isinstance(problem, UnknownTopic):
            problem.hint = "Create it with `tidemill topics apply`."
        raise problem
    transactions = Transactions(settings, f"tidemill.dead.{topic}", halt)
    try:
        transactions.take_over()
        if not index.catch_up(NEVER_SECONDS).is_complete:
            raise DeadLetterError(
                "Not all that was done about dead letters can be read: a transaction is open on their topics.",
                hint="It ends by itself within a minute; run the command again then.",
                retriable=True,
            )
        yield Owner(settings, topic, transactions)
    except Halted as halted:
        raise KeyboardInterrupt from halted
    finally:
        transactions.close()
