"""Tells on `job.progress` how the events of a stream get on: what a handler says, and what the runtime sees by itself.

For people and displays. It is sent without a promise (`offers`), and nothing waits for it, but for what belongs to an
event as its outputs do: that it was cancelled, and its end in a stream with `tracked`. Runs on the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tidemill.event import Event
from tidemill.events import JobProgress, ProgressState
from tidemill.runtime.error_text import brief
from tidemill.runtime.work import Output

if TYPE_CHECKING:
    from tidemill.runtime.partition import Unit
    from tidemill.runtime.progress import ProgressReport
    from tidemill.runtime.stream import Stream

RUNNING_AFTER_SECONDS = 1.0
"""How long a handler may be at an event before anybody is told."""
WAITING_FROM_SECONDS = 1.0
"""From which on a wait for the next try is told."""
MOST_CHARACTERS = 1_000

Offer = Callable[[JobProgress, Event[Any]], None]


class Teller:
    """Tells of one stream's events.

    Args:
        stream: The stream.
        offer: Sends what is told, if that can be done now; with the event that it is about.
    """

    def __init__(self, stream: Stream, offer: Offer) -> None:
        self._stream = stream
        self._offer = offer
        # Or what is told of a slow event on job.progress would be the next one there.
        self._is_silent = stream.payload is JobProgress

    def said(self, unit: Unit, report: ProgressReport) -> None:
        """A handler has said how far it is."""
        for event in _events(unit):
            if event.id == report.event_id:
                unit.told = time.monotonic()
                self._tell(
                    event,
                    unit,
                    "running",
                    done=_number(report.done),
                    total=_number(report.total),
                    unit=_text(report.unit),
                    note=_text(report.note),
                )
                return

    def running(self, unit: Unit) -> None:
        """A handler has been at it for a while."""
        unit.told = time.monotonic()
        for event in _events(unit):
            self._tell(event, unit, "running")

    def waiting(self, unit: Unit, seconds: float, error: BaseException) -> None:
        """A try has failed, and the next one is due after so many seconds."""
        if seconds < WAITING_FROM_SECONDS:
            return
        unit.told = time.monotonic()
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        for event in _events(unit):
            self._tell(event, unit, "waiting", due=due, error=brief(error))

    def ended(self, unit: Unit, events: Sequence[Event[Any]], outputs: list[Output]) -> list[Output]:
        """A handler has succeeded; who was told of its events isn't to wait for those of which nothing follows.

        Args:
            unit: What it was given.
            events: The same, decoded.
            outputs: What is published of them.

        Returns:
            What is to be published: with `tracked`, that they are done is among it.
        """
        caused = {(output.cause or events[-1]).id for output in outputs}
        ends = [event for event in events if event.id not in caused]
        if self._stream.tracked and not self._is_silent:
            return [*outputs, *(self.as_output(event, unit, "done") for event in ends)]
        for event in ends:
            self._tell(event, unit, "done")
        return outputs

    def as_output(self, event: Event[Any], unit: Unit, state: ProgressState, *, error: str | None = None) -> Output:
        """What is told of an event, to be published as an output of it."""
        return Output(self._progress(event, unit, state, error=error), cause=event)

    def _tell(self, event: Event[Any], tried: Unit, state: ProgressState, /, **told: Any) -> None:
        if not self._is_silent:
            self._offer(self._progress(event, tried, state, **told), event)

    def _progress(self, event: Event[Any], tried: Unit, state: ProgressState, /, **told: Any) -> JobProgress:
        return JobProgress(
            job=event.root,
            event=event.id,
            type=event.type,
            stream=self._stream.name,
            attempt=tried.attempt,
            state=state,
            at=datetime.now(UTC),
            **told,
        )


def _events(unit: Unit) -> list[Event[Any]]:
    return [Event.received(None, message) for message in unit.messages]


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:MOST_CHARACTERS]
