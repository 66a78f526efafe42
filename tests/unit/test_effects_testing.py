"""Handlers with effects in a user's own tests: a Work with a ledger in memory, the same checks, no database."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from tests.integration.steps import StepAsked
from tests.unit.effects_running import event_of
from tidemill.config import load_settings
from tidemill.errors import EffectError, EffectHeld, OutcomeUnknown
from tidemill.event import Event
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.testing import MemoryLedger, memory_work

charged: list[str] = []
trouble: list[Exception] = []
receipts: list[str] = []


def _charge(lane: str) -> dict[str, str]:
    if trouble:
        raise trouble.pop()
    charged.append(lane)
    return {"receipt": f"for {lane}"}


@stream("step.asked", executor="thread")
def charge(event: Event[StepAsked], work: Work) -> None:
    receipt = work.once("charge", lambda: _charge(event.payload.lane), policy="hold")
    receipts.append(receipt["receipt"])


async def _send(lane: str) -> int:
    return len(_charge(lane))


@stream("step.asked")
async def send(event: Event[StepAsked], work: Work) -> None:
    size: int = await work.once("send", lambda: _send(event.payload.lane), policy="again")
    assert size == 1


@stream("step.asked", batch=10)
def charge_batch(events: list[Event[StepAsked]], work: Work) -> None:
    for event in events:
        work.once("charge", partial(_charge, event.payload.lane), policy="hold", event=event)


@stream("step.asked", batch=10)
def forgetful_batch(events: list[Event[StepAsked]], work: Work) -> None:
    work.once("charge", lambda: _charge("a"), policy="hold")


@pytest.fixture(autouse=True)
def _nothing_happened() -> None:
    charged.clear()
    trouble.clear()
    receipts.clear()


def test_a_second_call_with_the_same_ledger_does_nothing() -> None:
    ledger, event = MemoryLedger(), event_of()
    charge(event, memory_work(charge, event, ledger=ledger))
    charge(event, memory_work(charge, event, ledger=ledger))
    assert charged == ["a"]
    assert receipts == ["for a", "for a"]
    (entry,) = ledger.entries
    assert (entry.name.key, entry.state, entry.result) == ("charge", "done", '{"receipt":"for a"}')


async def test_async_handlers_await_it() -> None:
    ledger, event = MemoryLedger(), event_of()
    for _ in range(2):
        await send(event, memory_work(send, event, ledger=ledger))
    assert charged == ["a"]


def test_each_call_has_a_ledger_of_its_own_unless_told() -> None:
    event = event_of()
    charge(event, memory_work(charge, event))
    charge(event, memory_work(charge, event))
    assert charged == ["a", "a"]


def test_a_failure_is_done_by_the_next_try_and_an_unknown_outcome_is_held() -> None:
    ledger, event = MemoryLedger(), event_of()
    trouble.append(ValueError("declined"))
    with pytest.raises(ValueError, match="declined"):
        charge(event, memory_work(charge, event, ledger=ledger))
    trouble.append(OutcomeUnknown("no answer"))
    for _ in range(2):
        with pytest.raises(EffectHeld, match="no answer"):
            charge(event, memory_work(charge, event, attempt=2, ledger=ledger))
    assert charged == []


def test_a_handler_of_batches_names_the_event() -> None:
    events, ledger = [event_of("e-1"), event_of("e-2")], MemoryLedger()
    for _ in range(2):
        charge_batch(events, memory_work(charge_batch, *events, ledger=ledger))
    assert charged == ["a", "a"]
    with pytest.raises(EffectError, match=r"In a handler of batches an effect needs its event.*event=event"):
        forgetful_batch(events, memory_work(forgetful_batch, *events))


def test_a_work_made_by_hand_says_how_to_make_one() -> None:
    event = event_of()
    with pytest.raises(EffectError, match=r"Work has no ledger of effects.*memory_work"):
        Work("charge", 1, None, load_settings()).once("charge", lambda: 1, policy="hold", event=event)


def test_a_work_crosses_to_another_process() -> None:
    work: Any = pickle.loads(pickle.dumps(Work("charge", 3, None, load_settings())))
    assert (work.stream, work.attempt) == ("charge", 3)
