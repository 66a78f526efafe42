"""`once` on a ledger in SQLite: done once, whatever comes in between, and the policies where nobody knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.unit.effects_running import HOSTILE, SCOPE, Deed, Shop, entries, event_of, settings_in, shops
from tidemill.config import Settings
from tidemill.errors import EffectError, EffectHeld, EffectUnderWay, LedgerUnavailable, OutcomeUnknown
from tidemill.runtime.effects.entry import EffectName

MakeShop = Callable[..., Shop]
Policy = Literal["again", "hold"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def shop(settings: Settings) -> Iterator[MakeShop]:
    with shops(settings) as make:
        yield make


def test_a_second_run_gets_the_recorded_result_and_does_nothing(shop: MakeShop) -> None:
    deed = Deed({"receipt": "r-17", "cents": 1999})
    assert shop().once(deed) == {"receipt": "r-17", "cents": 1999}
    assert shop().once(deed) == {"receipt": "r-17", "cents": 1999}
    assert deed.times == 1


def test_a_replayed_event_has_its_effects_behind_it(shop: MakeShop) -> None:
    deed = Deed("sent")
    shop().once(deed, event=event_of("e-1", number=3))
    assert shop().once(deed, event=event_of("e-1", number=88, tm_replay="of-yesterday")) == "sent"
    assert deed.times == 1


def test_events_streams_and_keys_have_effects_of_their_own(settings: Settings, shop: MakeShop) -> None:
    deed, one = Deed(), shop()
    one.once(deed, key="charge")
    one.once(deed, key="mail")
    one.once(deed, event=event_of("e-2"))
    other = shop()
    other.effects._scope = "staging." + SCOPE
    other.once(deed)
    assert deed.times == 4


def test_the_first_run_gets_what_the_second_will_get(shop: MakeShop) -> None:
    deed = Deed(("a", {"b": (1, 2)}))
    assert shop().once(deed) == ["a", {"b": [1, 2]}] == shop().once(deed)


def test_an_effect_that_returns_nothing_is_done_all_the_same(shop: MakeShop) -> None:
    deed = Deed(None)
    assert shop().once(deed) is None
    assert shop().once(deed) is None
    assert deed.times == 1


def test_the_intent_is_in_the_ledger_before_the_effect_begins(settings: Settings, shop: MakeShop) -> None:
    deed = Deed()
    seen: list[str] = []
    deed.before = lambda: seen.extend(entry.state for entry in entries(settings))
    shop().once(deed)
    assert seen == ["started"]
    assert [entry.state for entry in entries(settings)] == ["done"]


@pytest.mark.parametrize("policy", ["again", "hold"])
def test_an_exception_means_that_it_has_not_happened(settings: Settings, shop: MakeShop, policy: Policy) -> None:
    deed, one = Deed("receipt"), shop()
    deed.error = ValueError("card declined")
    with pytest.raises(ValueError, match="card declined"):
        one.once(deed, policy)
    (entry,) = entries(settings)
    assert (entry.state, entry.note) == ("failed", "ValueError: card declined")
    deed.error = None
    assert one.once(deed, policy) == "receipt"
    (entry,) = entries(settings)
    assert (deed.times, entry.state, entry.attempt, entry.note) == (2, "done", 2, None)


def test_an_outcome_that_the_effect_does_not_know_is_tried_again_by_policy(settings: Settings, shop: MakeShop) -> None:
    deed, one = Deed("sent"), shop()
    deed.error = OutcomeUnknown("The connection was lost after DATA.")
    with pytest.raises(OutcomeUnknown) as raised:
        one.once(deed, "again")
    assert raised.value.retriable
    assert [entry.state for entry in entries(settings)] == ["unknown"]
    deed.error = None
    assert one.once(deed, "again") == "sent"
    assert deed.times == 2


def test_an_outcome_that_the_effect_does_not_know_is_held_by_policy(shop: MakeShop) -> None:
    deed, one = Deed("sent"), shop()
    deed.error = OutcomeUnknown("The connection was lost after DATA.")
    with pytest.raises(EffectHeld, match=r"The connection was lost after DATA.*effects resolve e-1 charge") as raised:
        one.once(deed, "hold")
    assert not raised.value.retriable
    deed.error = None
    with pytest.raises(EffectHeld, match="The connection was lost after DATA"):
        one.once(deed, "hold")
    assert deed.times == 1


def test_after_a_crash_it_is_done_again_by_policy_and_that_is_noted(
    settings: Settings, shop: MakeShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop().die_in_it("again")
    deed = Deed("sent")
    assert shop().once(deed, "again") == "sent"
    assert deed.times == 1
    (entry,) = entries(settings)
    assert (entry.state, entry.attempt) == ("done", 2)


def test_after_a_crash_it_is_held_by_policy_with_the_question_in_words(settings: Settings, shop: MakeShop) -> None:
    shop().die_in_it("hold")
    deed = Deed()
    with pytest.raises(EffectHeld) as raised:
        shop().once(deed, "hold")
    said = str(raised.value)
    assert "The effect 'charge' of event e-1: begun at 2" in said
    assert "whether it happened is not known" in said
    assert "tidemill effects resolve e-1 charge --done` (or --again)" in said
    assert deed.times == 0
    (entry,) = entries(settings)
    assert entry.state == "unknown"
    assert "in the middle of it" in (entry.note or "")


def test_a_failure_after_an_unknown_outcome_does_not_make_it_known(settings: Settings, shop: MakeShop) -> None:
    shop().die_in_it("again")
    deed = Deed()
    deed.error = ValueError("no connection")
    with pytest.raises(ValueError, match="no connection"):
        shop().once(deed, "again")
    assert [entry.state for entry in entries(settings)] == ["unknown"]
    with pytest.raises(EffectHeld):
        shop().once(deed, "hold")
    assert deed.times == 1


def test_a_worker_that_lives_is_waited_for_however_long_it_takes(shop: MakeShop) -> None:
    one, two, deed = shop(), shop(), Deed("receipt")
    began, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert go_on.wait(20)
        return str(deed())

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.once, slow)
        assert began.wait(10)
        # Longer than a silent worker would be given: this one gives its signs of life.
        with pytest.raises(EffectUnderWay, match="is under way") as raised:
            two.once(deed, seconds=3.0)
        assert raised.value.retriable
        second = pool.submit(two.once, deed)
        go_on.set()
        assert first.result(10) == second.result(10) == "receipt"
    assert deed.times == 1


def test_of_many_threads_with_the_same_event_one_does_it(shop: MakeShop) -> None:
    some, deed = [shop() for _ in range(3)], Deed("receipt")
    with ThreadPoolExecutor(12) as pool:
        results = [pool.submit(some[n % 3].once, deed) for n in range(12)]
        assert {result.result(30) for result in results} == {"receipt"}
    assert deed.times == 1


async def test_of_many_coroutines_with_the_same_event_one_does_it(shop: MakeShop) -> None:
    some, deed = [shop("async") for _ in range(2)], Deed("sent")
    assert await asyncio.gather(*(some[n % 2].once(deed.async_) for n in range(10))) == ["sent"] * 10
    assert deed.times == 1


async def test_thousands_at_once_are_each_done_once(settings: Settings, shop: MakeShop) -> None:
    one, deed = shop("async"), Deed(1)
    events = [event_of(f"many-{number}") for number in range(2000)]
    await asyncio.gather(*(one.once(deed.async_, event=event) for event in events))
    assert deed.times == 2000
    await asyncio.gather(*(one.once(deed.async_, event=event) for event in events))
    assert deed.times == 2000


async def test_a_coroutine_that_is_cancelled_in_its_effect_leaves_an_unknown_outcome(
    settings: Settings, shop: MakeShop
) -> None:
    one, began = shop("async"), asyncio.Event()

    async def hangs() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(one.once(hangs, "hold"))
    await asyncio.wait_for(began.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(EffectHeld, match="It was stopped"):
        await one.once(Deed().async_, "hold")
    assert [entry.state for entry in entries(settings)] == ["unknown"]


async def test_an_effect_whose_handler_is_cancelled_while_its_result_is_written_is_done(shop: MakeShop) -> None:
    one, two, deed = shop("async"), shop("async"), Deed("sent")
    tasks: list[asyncio.Task[Any]] = []
    deed.before = lambda: bool(asyncio.get_running_loop().call_soon(tasks[0].cancel))
    tasks.append(asyncio.create_task(one.once(deed.async_, "hold")))
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await two.once(deed.async_, "hold") == "sent"
    assert deed.times == 1


class _TimeIsOver(BaseException):
    """As a thread gets it at its time limit."""


def test_a_thread_that_is_stopped_in_its_effect_leaves_an_unknown_outcome(settings: Settings, shop: MakeShop) -> None:
    one, deed = shop(), Deed()
    deed.error = _TimeIsOver()
    with pytest.raises(_TimeIsOver):
        one.once(deed, "hold")
    with pytest.raises(EffectHeld, match="It was stopped"):
        shop().once(deed, "hold")


def test_while_the_ledger_is_away_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    deed = Deed()
    settings = settings_in(tmp_path).model_copy(update={"state_dir": tmp_path / "file"})
    away = pytest.raises(LedgerUnavailable, match="didn't answer as it should")
    with shops(settings) as make, away as raised:
        make().once(deed)
    assert raised.value.retriable
    assert deed.times == 0


def test_a_ledger_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "effects.db").write_bytes(b"not a database at all" * 100)
    deed = Deed()
    with shops(settings_in(tmp_path)) as make, pytest.raises(LedgerUnavailable, match="file is not a database"):
        make().once(deed)
    assert deed.times == 0


def test_a_result_that_could_not_be_written_is_written_before_the_effect_is_tried_again(
    settings: Settings, shop: MakeShop
) -> None:
    one, deed = shop(), Deed("receipt")
    with one.ledger._opened().transaction():
        pass  # so that the tables are there
    locks: list[Any] = []

    def lock() -> None:
        other = shop().ledger._opened()
        locks.append(other.transaction())
        locks[0].__enter__()

    deed.before = lock
    one.ledger._opened()._engine.dispose()
    _be_impatient(one)
    with pytest.raises(LedgerUnavailable, match="database is locked"):
        one.once(deed, "hold")
    # While it stands in the ledger as begun, its worker lives, and nobody else touches it.
    locks[0].__exit__(None, None, None)
    assert one.once(deed, "hold") == "receipt"
    assert deed.times == 1
    assert [entry.state for entry in entries(settings)] == ["done"]


def _be_impatient(shop: Shop) -> None:
    """Wait for a lock of SQLite for a moment only."""
    from sqlalchemy import event

    event.listen(
        shop.ledger._opened()._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50")
    )


def test_a_result_without_a_json_form_is_told_and_the_effect_is_done(settings: Settings, shop: MakeShop) -> None:
    deed = Deed(object())
    with pytest.raises(EffectError, match=r"has happened; what it returned is not kept.*no JSON \(object\)") as raised:
        shop().once(deed)
    assert not raised.value.retriable
    with pytest.raises(EffectError, match="what it returned is not kept"):
        shop().once(deed)
    assert deed.times == 1
    assert [entry.state for entry in entries(settings)] == ["done"]


def test_a_result_that_is_too_large_is_told_and_the_effect_is_done(settings: Settings, shop: MakeShop) -> None:
    deed = Deed("x" * 300_000)
    with pytest.raises(EffectError, match=r"too large: 300,002 bytes of JSON, expected at most 262,144.*object store"):
        shop().once(deed)
    assert [entry.state for entry in entries(settings)] == ["done"]


def returns_bytes() -> bytes:
    raise AssertionError("it must not be begun")


async def returns_bytes_later() -> bytes:
    raise AssertionError("it must not be begun")


async def test_an_effect_that_says_it_returns_no_json_is_not_begun(settings: Settings, shop: MakeShop) -> None:
    with pytest.raises(EffectError, match="returns_bytes returns bytes, which is no JSON; it was not begun"):
        shop().once(returns_bytes)
    with pytest.raises(EffectError, match="returns_bytes_later returns bytes"):
        await shop("async").once(returns_bytes_later)
    assert entries(settings) == []


def test_a_coroutine_in_a_plain_handler_is_refused_before_it_begins(settings: Settings, shop: MakeShop) -> None:
    one, deed = shop(), Deed("done")
    with pytest.raises(EffectError, match="returned a coroutine, which nobody would run; it was not begun"):
        one.once(lambda: deed.async_())
    assert [entry.state for entry in entries(settings)] == ["failed"]
    assert one.once(deed, "hold") == "done"
    assert deed.times == 1


def test_an_inline_handler_is_told_that_it_cannot_wait(shop: MakeShop) -> None:
    with pytest.raises(EffectError, match="'inline' can't wait for the ledger"):
        shop("inline").once(Deed())


@pytest.mark.parametrize("key", ["", None, 7])
def test_a_key_that_is_no_text_is_refused(shop: MakeShop, key: Any) -> None:
    with pytest.raises(EffectError, match="key must be text that isn't empty"):
        shop().once(Deed(), key=key)


def test_a_policy_that_there_is_none_is_refused(shop: MakeShop) -> None:
    with pytest.raises(EffectError, match="must be 'again' or 'hold', found 'maybe'"):
        shop().once(Deed(), "maybe")  # type: ignore[arg-type]


def test_an_effect_that_is_no_function_is_refused(shop: MakeShop) -> None:
    with pytest.raises(EffectError, match="without the lambda it has happened already"):
        shop().once("sent")  # type: ignore[arg-type]
    with pytest.raises(EffectError, match="must be a function without arguments, found coroutine"):
        shop().once(Deed().async_())  # type: ignore[arg-type]


def test_the_same_key_twice_in_one_try_is_refused(shop: MakeShop) -> None:
    one, used, deed = shop(), set[EffectName](), Deed()
    one.effects.once(event_of(), "mail", deed, "again", remaining_seconds=9, used=used)
    with pytest.raises(EffectError, match="'mail' was asked for twice in one try"):
        one.effects.once(event_of(), "mail", deed, "again", remaining_seconds=9, used=used)
    one.effects.once(event_of("e-2"), "mail", deed, "again", remaining_seconds=9, used=used)
    assert deed.times == 2


def test_hostile_keys_and_ids_are_told_apart_and_known_again(shop: MakeShop) -> None:
    one, deed = shop(), Deed(1)
    for _ in range(2):
        for text in HOSTILE:
            one.once(deed, key=text)
            one.once(deed, event=event_of(text), key=text)
    # An id that isn't UTF-8 arrives with replacement characters.
    assert deed.times == 2 * len(HOSTILE)


def test_at_the_end_nothing_is_left_behind(settings: Settings) -> None:
    with shops(settings) as make:
        make().once(Deed())
        assert [thread for thread in threading.enumerate() if thread.name == "tidemill-effects"]
    assert not [thread for thread in threading.enumerate() if thread.name == "tidemill-effects"]
    assert (settings.state_dir / "effects.db").stat().st_mode & 0o777 == 0o600
