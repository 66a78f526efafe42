"""Events that were in work when an earlier process died: which they are, and how they are run without harm to others.

At the second death in a row an event is run while nothing else runs in its process, so that a third death has one
suspect only; that one is not run again. No I/O.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from tidemill.errors import HandlerDied
from tidemill.runtime.recorder import Suspect

if TYPE_CHECKING:
    from tidemill.event import Message
    from tidemill.runtime.partition import Unit

QUIET_SECONDS = 30.0
"""How long a suspect waits for the handlers that run already; then it runs beside them after all."""
LOOK_SECONDS = 0.01


class AtWork(Protocol):
    """What can be at work in a process: an engine."""

    @property
    def is_at_work(self) -> bool:
        """Whether a handler runs in this very process."""

    def wake(self) -> None:
        """Look again what may start."""


class Suspicion:
    """The suspects of one stream.

    Args:
        suspects: What the supervisor has read from the recorder.
    """

    def __init__(self, suspects: Sequence[Suspect] = ()) -> None:
        self._by_partition: dict[int, list[Suspect]] = {}
        for suspect in suspects:
            self._by_partition.setdefault(suspect.partition, []).append(suspect)

    def __bool__(self) -> bool:
        return bool(self._by_partition)

    def deaths(self, partition: int, offset: int) -> int:
        """At how many deaths in a row an event was in work."""
        found = self._by_partition.get(partition, ())
        return max((each.deaths for each in found if each.offset <= offset < each.offset + each.count), default=0)

    def falls_on(self, partition: int, messages: Sequence[Message]) -> bool:
        """Whether any of these messages is a suspect."""
        return partition in self._by_partition and any(self.deaths(partition, each.offset() or 0) for each in messages)


def died_of(unit: Unit) -> HandlerDied:
    """Why an event that was in work at so many deaths is not run again."""
    return HandlerDied(
        f"The worker died {unit.deaths} times in a row while this event was in work, the last time with nothing else.",
        hint="See the worker's last lines before each end. With executor='process' the event alone would fail.",
    )


class Alone:
    """Lets one handler run while no other of its process does."""

    def __init__(self) -> None:
        self.wanted = False
        """Nothing else may start."""
        self.engines: list[AtWork] = []
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        async with self._turn:
            self.wanted = True
            try:
                deadline = time.monotonic() + QUIET_SECONDS
                # A look now and then costs the hot path nothing, unlike an event that each end of a handler would set.
                while any(engine.is_at_work for engine in self.engines) and time.monotonic() < deadline:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
                yield
            finally:
                self.wanted = False
                for engine in self.engines:
                    engine.wake()
