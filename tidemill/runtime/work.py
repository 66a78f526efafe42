"""Work: what a handler may ask the runtime for, besides its event."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.errors import EffectError, StreamError
from tidemill.event import Event
from tidemill.publisher.preparing import UserHeaders
from tidemill.runtime.progress import ProgressReport, Thinned

if TYPE_CHECKING:
    from tidemill.runtime.effects.entry import EffectName
    from tidemill.runtime.effects.stream_effects import StreamEffects
    from tidemill.runtime.progress import Listener

R = TypeVar("R")
_first_report = threading.Lock()


@dataclass(frozen=True, slots=True)
class Output:
    """One event that a handler publishes, with what it says besides the payload.

    Args:
        payload: The event.
        key, subject, headers, delay, at: As `Publisher.publish`.
        cause: For handlers of batches: the event of the batch that this one follows from. Its id makes this one's id,
            so that it is the same however events fall into batches when they run again. Default: the last of them.
    """

    payload: Payload
    key: str | bytes | None = None
    subject: str | None = None
    headers: UserHeaders | None = None
    cause: Event[Any] | None = None
    delay: timedelta | None = None
    at: datetime | None = None


@dataclass(slots=True)
class Work:
    """One try at one event (or one batch).

    Args:
        stream: The stream's name.
        attempt: Which try this is, from 1.
        timeout_seconds: The time limit of the try; None where there is none.
        settings: The worker's settings.
    """

    stream: str
    attempt: int
    timeout_seconds: float | None
    settings: Settings
    outputs: list[Output] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _effects: StreamEffects | None = field(default=None, init=False, repr=False, compare=False)
    _event: Event[Any] | None = field(default=None, init=False, repr=False, compare=False)
    _used: set[EffectName] | None = field(default=None, init=False, repr=False, compare=False)
    _listener: Listener | None = field(default=None, init=False, repr=False, compare=False)
    _thinned: Thinned | None = field(default=None, init=False, repr=False, compare=False)
    _reported: list[ProgressReport] | None = field(default=None, init=False, repr=False, compare=False)
    _is_cancelled: bool = field(default=False, init=False, repr=False, compare=False)

    def provide(self, effects: StreamEffects, event: Event[Any] | None, listener: Listener | None = None) -> None:
        """Make `once` work, and `progress` heard; done by whoever runs the handler, where it runs.

        Args:
            effects: The stream's, in this process.
            event: The event handled; None for a batch.
            listener: Who gets what is said with `progress`; None to keep it in `reported`.
        """
        self._effects, self._event, self._listener = effects, event, listener

    @overload
    def once(
        self,
        key: str,
        effect: Callable[[], Awaitable[R]],
        *,
        policy: Literal["again", "hold"],
        event: Event[Any] | None = None,
    ) -> Awaitable[R]: ...

    @overload
    def once(
        self, key: str, effect: Callable[[], R], *, policy: Literal["again", "hold"], event: Event[Any] | None = None
    ) -> R: ...

    def once(
        self, key: str, effect: Callable[[], Any], *, policy: Literal["again", "hold"], event: Event[Any] | None = None
    ) -> Any:
        """Do something that can't be taken back (a mail, a charge) once for this event, however often it runs.

        Its intent is in the ledger before it begins, and its result after it; a later run of the same event gets that
        result and does nothing. To be awaited in an `async def` handler, whose effect returns something to await.

            receipt = work.once("charge", lambda: gateway.charge(order.card, order.cents), policy="hold")
            answer = await work.once("smtp", lambda: pool.send(message), policy="again")

        An exception means that it has not happened, and the next try does it. An effect that can't know raises
        `OutcomeUnknown`.

        Args:
            key: Tells it from the other effects of the event in this stream; the same in every run.
            effect: Does it; what it returns has a JSON form (256 KiB at most), and comes back as JSON has it.
            policy: What follows where nobody knows whether it has happened, as after a crash: do it `again`, or `hold`
                it for a person, as a dead letter that asks.
            event: In handlers of batches: whose effect it is.

        Raises:
            EffectHeld: Its outcome isn't known, and the policy is `hold`.
            EffectUnderWay: Another worker is still at it; the event waits.
            LedgerUnavailable: The ledger doesn't answer; nothing is done, and the event waits.
            EffectError: The key was used before in this try, or what it returned can't be kept.
            Exception: Whatever the effect raised.
        """
        event = event if event is not None else self._event
        if event is None:
            raise EffectError(
                "In a handler of batches an effect needs its event.", hint="Write work.once(..., event=event)."
            )
        if self._effects is None:
            raise EffectError(
                "This Work has no ledger of effects.",
                hint="In tests make it by tidemill.testing.memory_work.",
            )
        if self._used is None:
            self._used = set()
        return self._effects.once(event, key, effect, policy, remaining_seconds=self.remaining_seconds, used=self._used)

    def progress(
        self,
        done: int | None = None,
        total: int | None = None,
        *,
        unit: str | None = None,
        note: str | None = None,
        event: Event[Any] | None = None,
    ) -> None:
        """Say how far the work is, for people who wait for it.

        May be called thousands of times a second, from any thread of the handler's process: the first report is passed
        on at once, then the latest one every half second. It never waits, and fails for no reason of Kafka's.

            for done, row in enumerate(rows, start=1):
                work.progress(done, len(rows), unit="rows")

        Args:
            done: How much is done, in units of `unit`.
            total: How much there is to do; None where nobody knows.
            unit: What is counted, e.g. `rows`.
            note: What it is at, for a person.
            event: In handlers of batches: whose progress it is.

        Raises:
            StreamError: In a handler of batches: `event` is missing.
        """
        about = event if event is not None else self._event
        report = ProgressReport(done, total, unit, note, about.id if about is not None else None)
        if self._listener is None:
            if self._reported is None:
                self._reported = []
            self._reported.append(report)
            return
        if about is None:
            raise StreamError(
                "In a handler of batches progress needs its event.", hint="Write work.progress(..., event=event)."
            )
        thinned = self._thinned
        if thinned is None:
            with _first_report:
                thinned = self._thinned = self._thinned or Thinned(self, self._listener)
        thinned.put(report)

    @property
    def reported(self) -> list[ProgressReport]:
        """What was said with `progress`, where no worker listens: in tests of handlers."""
        return list(self._reported or ())

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled the job meanwhile; only with `@stream(..., cancellable=True)`.

        For handlers in threads, which nobody can stop. One that gives up raises an exception, whichever: the event is
        not tried again then. What one returns is published as ever.
        """
        return self._is_cancelled

    def cancel(self) -> None:
        """Make `is_cancelled` true; done by the worker, and by tests of handlers."""
        self._is_cancelled = True

    def emit(
        self,
        payload: Payload,
        *,
        key: str | bytes | None = None,
        subject: str | None = None,
        headers: UserHeaders | None = None,
        cause: Event[Any] | None = None,
        delay: timedelta | None = None,
        at: datetime | None = None,
    ) -> None:
        """Publish an event once the handler has succeeded; what it returns comes after what it emitted.

        Nothing is sent where the handler fails. The event's id is derived from the handled event's, so that a second
        run publishes the same ids. Arguments as `Output`.
        """
        self.outputs.append(Output(payload, key, subject, headers, cause, delay, at))

    @property
    def remaining_seconds(self) -> float | None:
        """Time left of the limit; None where there is none."""
        if self.timeout_seconds is None:
            return None
        return max(0.0, self.timeout_seconds - (time.monotonic() - self.started))


def as_outputs(returned: Any, work: Work | None) -> list[Output]:
    """What a handler emitted and returned, as a list: None, one event, an Output, or any iterable of these.

    Raises:
        TypeError: It returned something that is not an event.
    """
    if returned is None:
        items: Iterable[Any] = ()
    elif hasattr(type(returned), "__contract__") or isinstance(returned, Output):
        items = (returned,)
    elif isinstance(returned, str | bytes | dict) or not hasattr(returned, "__iter__"):
        raise TypeError(f"a handler returns events or None, found {type(returned).__name__}: {returned!r:.80}")
    else:
        items = returned
    outputs = []
    for item in items:
        if isinstance(item, Output):
            outputs.append(item)
        elif hasattr(type(item), "__contract__"):
            outputs.append(Output(item))
        else:
            raise TypeError(f"a handler returns events, found {type(item).__name__} among them: {item!r:.80}")
    # Only now: a generator emits while it runs.
    return [*work.outputs, *outputs] if work is not None else outputs
