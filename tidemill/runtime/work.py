"""Work: what a handler may ask the runtime for, besides its event."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.event import Event
from tidemill.publisher.preparing import UserHeaders


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
