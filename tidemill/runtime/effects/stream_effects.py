"""The effects of one stream in one process: names them, refuses what can't be one, and walks their course."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from tidemill.errors import EffectError
from tidemill.runtime.effects.entry import EffectName, Policy, stored
from tidemill.runtime.effects.once import steps, walk, walk_async
from tidemill.runtime.effects.result import refuse_unkeepable

if TYPE_CHECKING:
    from tidemill.event import Event
    from tidemill.runtime.effects.ticket import Ledger

MOST_WAIT_SECONDS = 60.0
"""How long to wait for somebody else who is at an effect, where the handler has no time limit."""
SHARE_OF_REMAINING = 0.8
"""Of the time that a handler has left, to wait for somebody else; the rest is to do something then."""


class StreamEffects:
    """Does the effects of one stream's handlers.

    Args:
        scope: The stream's consumer group, with its namespace.
        executor: Where its handlers run.
        ledger: Where intents and results are.
    """

    def __init__(self, scope: str, executor: str, ledger: Ledger) -> None:
        self._scope = stored(scope)
        self._executor = executor
        self.ledger = ledger

    def once(
        self,
        event: Event[Any],
        key: str,
        effect: Callable[[], Any],
        policy: Policy,
        *,
        remaining_seconds: float | None,
        used: set[EffectName],
    ) -> Any:
        """As `Work.once`.

        Args:
            event: Whose effect it is.
            key, effect, policy: As there.
            remaining_seconds: What the handler has left of its time; None for no limit.
            used: The effects of this try so far; this one is added.
        """
        if self._executor == "inline":
            raise EffectError(
                "A handler with executor='inline' can't wait for the ledger of effects: it would stop the event loop.",
                hint="Use executor='thread', or make the handler `async def`.",
            )
        if not isinstance(key, str) or not key:
            raise EffectError(f"An effect's key must be text that isn't empty, found {key!r}.", hint="E.g. 'charge'.")
        if policy not in get_args(Policy):
            raise EffectError(f"An effect's policy must be 'again' or 'hold', found {policy!r}.")
        given: object = effect
        if inspect.iscoroutine(given):
            given.close()  # or Python warns that nobody has run it
        if not callable(given):
            raise EffectError(
                f"The effect {key!r} must be a function without arguments, found {type(effect).__name__}.",
                hint="Write work.once(key, lambda: send(message), ...): without the lambda it has happened already.",
            )
        refuse_unkeepable(effect)
        name = EffectName(stored(event.id), self._scope, stored(key))
        if name in used:
            raise EffectError(
                f"The effect {key!r} was asked for twice in one try.", hint="Give each effect of an event its own key."
            )
        used.add(name)
        wait_seconds = MOST_WAIT_SECONDS if remaining_seconds is None else remaining_seconds * SHARE_OF_REMAINING
        course = steps(self.ledger, name, policy, wait_seconds)
        return walk_async(course, effect) if self._executor == "async" else walk(course, effect)

    def close(self, timeout_seconds: float) -> None:
        """Write what is still to be written, and end; after so long without it."""
        self.ledger.close(timeout_seconds)
