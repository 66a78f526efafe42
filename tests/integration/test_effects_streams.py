"""Effects in streams over a real Kafka: runs again, replays, dead letters with a question, a ledger that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.effects_samples import (
    SHORT,
    TILL,
    Till,
    charge,
    charge_batch,
    charge_hold,
    charge_process,
    open_till,
)
from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    dead_letters,
    events,
    forget_offsets,
    header,
    lag,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill import Event, Publisher, Retry, Work, stream
from tidemill.cli.app import build
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry

DONE = StepDone.__contract__.topic


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    with open_till() as till:
        monkeypatch.setenv(TILL, str(till.port))
        yield till


async def test_an_event_that_runs_again_publishes_the_recorded_result(settings: Settings, till: Till) -> None:
    prepare(settings)
    publish(settings, steps("a", 5))
    for outputs in (5, 10):
        async with working(settings, charge_hold):
            await until_there(settings, DONE, outputs)
        forget_offsets(settings, charge_hold)
    assert till.charged == {f"a/{number}": 1 for number in range(5)}
    assert {event.payload.note for event in events(settings, StepDone, 10)} == {"receipt"}


async def test_an_event_that_is_published_again_under_its_id_has_no_second_effect(
    settings: Settings, till: Till
) -> None:
    prepare(settings)
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        for _ in range(3):
            publisher.publish(StepAsked(lane="a", number=1), id="order-17")
    async with working(settings, charge_hold):
        await until_there(settings, DONE, 3)
    assert till.charged == {"a/1": 1}


async def test_handlers_in_processes_have_effects_that_happen_once(settings: Settings, till: Till) -> None:
    prepare(settings)
    publish(settings, [step for lane in "abcd" for step in steps(lane, 5)])
    for outputs in (20, 40):
        async with working(settings, charge_process):
            await until_there(settings, DONE, outputs)
        forget_offsets(settings, charge_process)
    assert set(till.charged.values()) == {1}
    assert len(till.charged) == 20


async def test_a_batch_that_fails_and_is_tried_one_by_one_repeats_no_effect(settings: Settings, till: Till) -> None:
    prepare(settings)
    publish(settings, steps("a", 10))
    async with working(settings, charge_batch):
        await until(lambda: lag(settings, charge_batch) == 0, "all are done")
    assert till.charged == {f"a/{number}": 1 for number in range(10)}


async def test_async_handlers_await_their_effects_and_each_key_has_its_own(settings: Settings, till: Till) -> None:
    prepare(settings)
    failed: set[str] = set()

    @stream("step.asked", name="mails", retry=SHORT)
    async def mails(event: Event[StepAsked], work: Work) -> StepDone:
        to = f"to-{event.payload.number}"
        await work.once("to", lambda: asyncio.to_thread(charge, to), policy="again")
        if to not in failed:
            failed.add(to)
            raise ConnectionError("between the two")
        note = await work.once("copy", lambda: asyncio.to_thread(charge, f"cc-{event.payload.number}"), policy="again")
        return StepDone(lane="a", number=event.payload.number, note=note)

    publish(settings, steps("a", 4))
    async with working(settings, mails):
        await until_there(settings, DONE, 4)
    assert set(till.charged.values()) == {1}
    assert len(till.charged) == 8


async def test_what_nobody_knows_is_a_dead_letter_that_asks_and_its_answer_is_honoured(
    settings: Settings, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(settings)
    till.silent = {"a/0"}
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        publisher.publish(StepAsked(lane="a", number=0), id="order-17")
        async with working(settings, charge_hold):
            (letter,) = await dead_letters(settings, 1)
        assert header(letter, "tm_dead_error") == "tidemill.errors.EffectHeld"
        assert header(letter, "tm_dead_attempts") == "1"
        asked = header(letter, "tm_dead_message")
        assert "The effect 'charge' of event order-17: whether it happened is not known" in asked
        assert "tidemill effects resolve order-17 charge --done" in asked
        monkeypatch.setenv("TIDEMILL_STATE_DIR", str(settings.state_dir))
        monkeypatch.setenv("TIDEMILL_NAMESPACE", settings.namespace)
        said = [
            "effects",
            "resolve",
            "order-17",
            "charge",
            "--done",
            "--result",
            '"by hand"',
            "--stream",
            "charge-hold",
        ]
        answered = await asyncio.to_thread(CliRunner().invoke, build(), said)
        assert answered.exit_code == 0, answered.output
        publisher.publish(StepAsked(lane="a", number=0), id="order-17")
        async with working(settings, charge_hold):
            await until_there(settings, DONE, 1)
    assert [event.payload.note for event in events(settings, StepDone, 1)] == ["by hand"]
    assert till.charged == {"a/0": 1}


async def test_while_the_ledger_is_away_events_wait_and_no_try_is_counted(
    settings: Settings, till: Till, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(settings)
    # No folder for it can be made where there is a file.
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    away = settings.model_copy(update={"state_dir": blocked})
    tries: list[int] = []

    @stream("step.asked", name="waits", executor="thread", retry=Retry(attempts=1))
    def waits(event: Event[StepAsked], work: Work) -> StepDone:
        tries.append(work.attempt)
        return StepDone(lane="a", number=0, note=work.once("charge", lambda: charge("a/0"), policy="hold"))

    publish(settings, steps("a", 1))
    async with working(away, waits):
        await until(lambda: len(tries) >= 4, "it was held several times")
        assert not till.charged
        blocked.unlink()
        await until_there(settings, DONE, 1)
    assert set(tries) == {1}
    assert till.charged == {"a/0": 1}
