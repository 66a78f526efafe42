"""`work.once`: an effect between its intent and its result. One course of steps, walked by threads and by coroutines.

The order of steps is what everything rests on: the intent is committed before the effect begins, and no answer of the
ledger means no effect.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import shlex
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import EffectError, EffectHeld, EffectUnderWay, LedgerUnavailable, OutcomeUnknown
from tidemill.runtime.effects.claims import Begun, Busy, Held, Recorded
from tidemill.runtime.effects.result import as_json
from tidemill.runtime.error_text import brief
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.runtime.effects.entry import EffectName, Entry, Policy
    from tidemill.runtime.effects.ticket import Ledger, Ticket

RUN: Final = "run"
"""The step in which the effect itself happens."""
FIRST_PAUSE_SECONDS = 0.02
MOST_PAUSE_SECONDS = 0.5
LOOK_EVERY_SECONDS = 0.2
"""How often a thread that waits looks up, so that a time limit can reach it."""

Steps = Generator["Future[Any] | float | str", Any, Any]
"""Yields what to wait for: a future, so many seconds, or `RUN`; gets what came of it."""


def steps(ledger: Ledger, name: EffectName, policy: Policy, wait_seconds: float) -> Steps:
    """The course of one effect.

    Args:
        ledger: Where intents and results are.
        name: The effect.
        policy: What follows where its outcome isn't known.
        wait_seconds: How long to wait at most for somebody else who is at it.

    Raises:
        EffectHeld, EffectUnderWay, LedgerUnavailable, EffectError: As `Work.once`.
        Exception: Whatever the effect raised.
    """
    deadline = time.monotonic() + wait_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    ticket = None
    try:
        while True:
            ticket = ticket or ledger.enter(name)
            busy = Busy("this process")
            if ticket is not None:
                answer = yield ledger.claim(ticket, policy)
                if not isinstance(answer, Busy):
                    break
                ticket.settled, busy = True, answer
            if time.monotonic() + pause_seconds > deadline:
                raise EffectUnderWay(
                    f"The effect {name.key!r} of event {name.event_id} is under way: {busy.owner_name}."
                )
            yield pause_seconds
            pause_seconds = min(pause_seconds * 2, MOST_PAUSE_SECONDS)
        if not isinstance(answer, Begun):
            ticket.settled = True
            return _without_doing(name, answer)
        ticket.is_answered = True
        _note_repetition(ticket, name, answer.before)
        result = yield from _do(ledger, ticket, policy)
        return result
    finally:
        if ticket is not None:
            ledger.leave(ticket)


def _without_doing(name: EffectName, answer: Recorded | Held) -> Any:
    if isinstance(answer, Held):
        raise held(answer.entry)
    if answer.result is None:
        raise _not_kept(name, answer.note)
    return json.loads(answer.result)


def _do(ledger: Ledger, ticket: Ticket, policy: Policy) -> Steps:
    name = ticket.name
    ticket.was_begun = True
    try:
        value = yield RUN
    except OutcomeUnknown as unknown:
        yield from _noted(ledger.settle(ticket, "unknown", note=brief(unknown)))
        if policy == "hold":
            raise _question(name, f"whether it happened is not known: {unknown.message}") from unknown
        unknown.retriable = True
        raise
    except NotBegun as refused:
        ticket.was_begun = False
        yield from _noted(ledger.settle(ticket, ticket.state_when_failed, note=brief(refused)))
        raise EffectError(refused.message, hint=refused.hint) from None
    except Exception as error:
        yield from _noted(ledger.settle(ticket, ticket.state_when_failed, note=brief(error)))
        raise
    try:
        text = as_json(value)
    except EffectError as error:
        yield ledger.settle(ticket, "done", note=str(error))
        raise _not_kept(name, str(error)) from error
    yield ledger.settle(ticket, "done", result=text)
    # As it will be the next time: a tuple is a list then.
    return json.loads(text)


def _noted(written: Future[None]) -> Steps:
    """Wait until it is written; what the effect has raised matters more than that it can't be now."""
    try:
        yield written
    except LedgerUnavailable as error:
        get_logger("effects").error("how an effect ended is written later", error=str(error))


def _note_repetition(ticket: Ticket, name: EffectName, before: Entry | None) -> None:
    if before is None or before.state == "failed":
        return
    ticket.is_uncertain = True
    get_logger("effects").warning(
        "whether an effect has happened isn't known, it is done again",
        id=name.event_id,
        key=name.key,
        begun_by=before.owner_name,
        begun_ms=before.started_ms,
        times=before.attempt,
    )


def held(entry: Entry) -> EffectHeld:
    """The question that a person has to answer."""
    begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(entry.started_ms / 1000))
    why = f" ({entry.note})" if entry.note and entry.state == "unknown" else ""
    return _question(entry.name, f"begun at {begun} by {entry.owner_name}, and whether it happened is not known{why}")


def _question(name: EffectName, what: str) -> EffectHeld:
    return EffectHeld(
        f"The effect {name.key!r} of event {name.event_id}: {what.rstrip('.')}.",
        hint=f"Look whether it did; then `tidemill effects resolve {_quoted(name)} --done` (or --again), and publish"
        " the event again.",
    )


def _not_kept(name: EffectName, note: str | None) -> EffectError:
    return EffectError(
        f"The effect {name.key!r} of event {name.event_id} has happened; what it returned is not kept. {note or ''}",
        hint=f"`tidemill effects resolve {_quoted(name)} --done --result JSON` gives it one.",
    )


def _quoted(name: EffectName) -> str:
    return f"{shlex.quote(name.event_id)} {shlex.quote(name.key)}"


class NotBegun(EffectError):
    """An effect turned out to be none that can be done here, before anything has happened."""


def walk(course: Steps, effect: Callable[[], Any]) -> Any:
    """Go through the steps of an effect in this thread, and return its result."""
    value, error = None, None
    try:
        while True:
            step = course.send(value) if error is None else course.throw(error)
            try:
                value, error = _take(step, effect), None
            except BaseException as raised:  # noqa: BLE001 - the course decides what a failure or a stop means
                error = raised
    except StopIteration as end:
        return end.value
    finally:
        error = None  # or it would hold this frame, and this frame it
        course.close()


async def walk_async(course: Steps, effect: Callable[[], Any]) -> Any:
    """Go through the steps of an effect on this event loop, and return its result."""
    value, error = None, None
    try:
        while True:
            step = course.send(value) if error is None else course.throw(error)
            try:
                value, error = await _take_async(step, effect), None
            except BaseException as raised:  # noqa: BLE001 - as in `walk`
                error = raised
    except StopIteration as end:
        return end.value
    finally:
        error = None
        course.close()


def _take(step: Future[Any] | float | str, effect: Callable[[], Any]) -> Any:
    if isinstance(step, float):
        time.sleep(step)
        return None
    if isinstance(step, str):
        returned = effect()
        if inspect.iscoroutine(returned):
            returned.close()
            raise NotBegun(
                "The effect of a plain handler returned a coroutine, which nobody would run; it was not begun.",
                hint="Make the handler `async def`, or the effect a plain function.",
            )
        return returned
    while True:
        try:
            return step.result(LOOK_EVERY_SECONDS)
        except TimeoutError:
            if step.done():
                raise


async def _take_async(step: Future[Any] | float | str, effect: Callable[[], Any]) -> Any:
    if isinstance(step, float):
        await asyncio.sleep(step)
        return None
    if isinstance(step, str):
        returned: Any = effect()
        return await returned if isinstance(returned, Awaitable) else returned
    # What was asked for is done, whoever still waits for it.
    return await asyncio.shield(asyncio.wrap_future(step))
