"""For the tests of effects: handlers' calls of `once` on a ledger in a folder, and as many workers as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.integration.steps import StepAsked
from tidemill.config import Settings, load_settings
from tidemill.event import Event, Position
from tidemill.runtime.effects.database import Database
from tidemill.runtime.effects.entry import EffectName, Entry
from tidemill.runtime.effects.inspection import of_event
from tidemill.runtime.effects.ledger import DatabaseLedger
from tidemill.runtime.effects.stream_effects import StreamEffects

SCOPE = "tidemill.shop"
HOSTILE = [
    "a\0b",
    "a\\x00b",
    "\ud800",
    "ä" * 5000,
    "ä" * 5001,
    "'; DROP TABLE tidemill_effects; --",
    "\n\x1b[31m",
    "💸",
]


def event_of(event_id: str = "e-1", *, number: int = 0, **headers: str) -> Event[StepAsked]:
    """An event of this id."""
    raw = [
        ("ce_id", event_id.encode("utf-8", "surrogatepass")),
        *((key, text.encode()) for key, text in headers.items()),
    ]
    return Event(
        StepAsked(lane="a", number=number), key=b"a", headers=raw, position=Position("step.asked", 0, number, 0)
    )


class Deed:
    """An effect that counts how often it happened; what it does next may be set."""

    def __init__(self, result: Any = None) -> None:
        self.times = 0
        self.result = result
        self.error: BaseException | None = None
        self.before: Callable[[], object] | None = None

    def __call__(self) -> Any:
        self.times += 1
        if self.before is not None:
            self.before()
        if self.error is not None:
            raise self.error
        return self.result

    async def async_(self) -> Any:
        """The same as a coroutine function."""
        return self()


class Shop:
    """One worker's effects: each call of `once` is a try of its own."""

    def __init__(self, settings: Settings, executor: str = "thread") -> None:
        self.ledger = DatabaseLedger(settings)
        self.effects = StreamEffects(SCOPE, executor, self.ledger)

    def once(
        self,
        deed: Callable[[], Any],
        policy: Literal["again", "hold"] = "again",
        *,
        event: Event[Any] | None = None,
        key: str = "charge",
        seconds: float | None = 30.0,
    ) -> Any:
        """One try with this one effect."""
        return self.effects.once(event or event_of(), key, deed, policy, remaining_seconds=seconds, used=set())

    def die_in_it(self, policy: Literal["again", "hold"] = "again", *, key: str = "charge") -> None:
        """Begin the effect of the sample event, and give no sign of life from then on."""
        ticket = self.ledger.enter(EffectName("e-1", SCOPE, key))
        assert ticket is not None
        self.ledger.claim(ticket, policy).result(10)
        self.ledger.close(10)


@contextmanager
def shops(settings: Settings) -> Iterator[Callable[..., Shop]]:
    """Makes workers; all of them are closed at the end."""
    made: list[Shop] = []

    def make(executor: str = "thread", **changes: Any) -> Shop:
        made.append(Shop(settings.model_copy(update=changes), executor))
        return made[-1]

    try:
        yield make
    finally:
        for shop in made:
            shop.effects.close(10)


def entries(settings: Settings, event_id: str = "e-1") -> list[Entry]:
    """What the ledger has of an event."""
    database = Database(settings)
    try:
        return [seen.entry for seen in of_event(database, event_id)]
    finally:
        database.close()


def settings_in(folder: Path, **more: Any) -> Settings:
    """Settings whose ledger is in a folder, and whose silent workers are soon dead."""
    return load_settings(state_dir=folder, **{"effects_lease_seconds": 1.0, **more})
