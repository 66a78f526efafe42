"""Effects on real ledgers, SQLite and Postgres alike: several processes, kills, restarts, clocks that are wrong."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.integration.postgres import Postgres
from tests.integration.worker_program import ROOT
from tests.integration.working import wait_until
from tests.unit.effects_running import HOSTILE, Deed, Shop, entries, event_of, settings_in, shops
from tidemill.config import Settings
from tidemill.errors import EffectHeld, EffectUnderWay, LedgerUnavailable

MakeShop = Callable[..., Shop]


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty ledger."""
    if request.param == "sqlite":
        return settings_in(tmp_path)
    postgres: Postgres = request.getfixturevalue("postgres")
    return settings_in(tmp_path, effects_url=SecretStr(postgres.new_database()))


@pytest.fixture
def shop(ledger: Settings) -> Iterator[MakeShop]:
    with shops(ledger) as make:
        yield make


class Workers:
    """Starts `effects_worker` programs on a ledger."""

    def __init__(self, ledger: Settings, folder: Path) -> None:
        self._ledger = ledger
        self.deeds = folder / "deeds"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, how: str, policy: str, event: str = "e-1", *, wrapper: tuple[str, ...] = (), **orders: Any) -> Any:
        """One worker, at work."""
        url = self._ledger.effects_url
        orders |= {
            "state_dir": str(self._ledger.state_dir),
            "effects_url": url.get_secret_value() if url is not None else None,
            "deeds": str(self.deeds),
            "event": event,
            "how": how,
            "policy": policy,
        }
        command = [*wrapper, sys.executable, "-m", "tests.integration.effects_worker", json.dumps(orders)]
        worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._started.append(worker)
        return worker

    def done(self) -> list[str]:
        """The events of the deeds that happened, in order."""
        return [line.split()[0] for line in self.deeds.read_text().splitlines()] if self.deeds.exists() else []

    def end(self) -> None:
        """Leave none behind."""
        for worker in self._started:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
            assert worker.stdout is not None
            worker.stdout.close()


@pytest.fixture
def workers(ledger: Settings, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(ledger, tmp_path)
    yield started
    started.end()


def answer(worker: Any) -> dict[str, str]:
    """What a worker came to."""
    said, _ = worker.communicate(timeout=60)
    found: dict[str, str] = json.loads(said.splitlines()[-1])
    return found


def test_of_several_processes_with_the_same_event_one_does_it(workers: Workers) -> None:
    some = [workers.start("slow", "hold") for _ in range(4)]
    results = {answer(worker)["result"] for worker in some}
    assert len(results) == 1
    assert workers.done() == ["e-1"]


def test_after_a_kill_in_the_effect_it_is_done_again_by_policy(workers: Workers, ledger: Settings) -> None:
    assert workers.start("die", "again").wait(30) == -signal.SIGKILL
    began = time.monotonic()
    assert "result" in answer(workers.start("do", "again", lease=60))
    # On the same machine a process that is gone is known to be; nobody waits for its lease to run out.
    assert time.monotonic() - began < 20
    assert workers.done() == ["e-1", "e-1"]
    assert [(entry.state, entry.attempt) for entry in entries(ledger)] == [("done", 2)]


def test_after_a_kill_in_the_effect_it_is_held_by_policy(workers: Workers, ledger: Settings) -> None:
    assert workers.start("die", "hold").wait(30) == -signal.SIGKILL
    for _ in range(2):
        held = answer(workers.start("do", "hold"))
        assert held["error"] == "EffectHeld"
        assert "whether it happened is not known" in held["message"]
    assert workers.done() == ["e-1"]


def test_a_worker_that_is_stopped_in_its_effect_counts_as_lost_and_is_believed_when_it_wakes(
    workers: Workers, shop: MakeShop, ledger: Settings
) -> None:
    worker = workers.start("slow", "hold")
    wait_until(lambda: workers.done() == ["e-1"], "the effect has begun")
    deed = Deed()
    held: list[EffectHeld] = []

    def is_held() -> bool:
        worker.send_signal(signal.SIGSTOP)
        try:
            shop().once(deed, "hold", key="deed")
        except EffectHeld as error:
            held.append(error)
        except LedgerUnavailable:
            pass  # It was stopped in the middle of a sign of life, with SQLite's only lock.
        finally:
            worker.send_signal(signal.SIGCONT)
        return bool(held)

    wait_until(is_held, "its effect is held, for it is stopped")
    result = answer(worker)["result"]
    assert shop().once(deed, "hold", key="deed") == result
    assert deed.times == 0
    assert [entry.state for entry in entries(ledger)] == ["done"]


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime isn't installed")
@pytest.mark.parametrize("clock", ["-1h", "+1h"])
def test_a_worker_whose_clock_is_wrong_changes_nothing(workers: Workers, shop: MakeShop, clock: str) -> None:
    one, began, go_on = shop(), threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert go_on.wait(60)
        return "receipt"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.once, slow, "again", key="deed")
        assert began.wait(10)
        worker = workers.start("do", "again", wrapper=("faketime", "-f", clock))
        # It has looked several times, and waits.
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(4)
        go_on.set()
        assert first.result(20) == answer(worker)["result"] == "receipt"
    assert workers.done() == []


def test_first_uses_at_once_make_the_tables_once(workers: Workers) -> None:
    some = [workers.start("do", "hold", f"e-{number}") for number in range(6)]
    assert all("result" in answer(worker) for worker in some)
    assert sorted(workers.done()) == [f"e-{number}" for number in range(6)]


def test_hostile_names_and_results_are_kept_as_they_are(shop: MakeShop) -> None:
    one, deed = shop(), Deed()
    for text in HOSTILE:
        deed.result = {text: [text]}
        for _ in range(2):
            assert one.once(deed, event=event_of(text), key=text) == {text: [text]}
    assert deed.times == len(HOSTILE)


async def test_workers_that_race_for_the_same_events_do_each_once(shop: MakeShop) -> None:
    some, deed = [shop("async") for _ in range(3)], Deed(1)
    events = [event_of(f"race-{number}") for number in range(300)]
    orders = [(worker, event) for event in events for worker in some]
    await asyncio.gather(*(worker.once(deed.async_, event=event) for worker, event in orders))
    assert deed.times == 300


async def test_results_and_claims_that_cross_do_not_block_each_other(shop: MakeShop) -> None:
    # Each worker ends what the other one waits for, many times: had they locks to wait for, some would be refused.
    left, right, deed = shop("async"), shop("async"), Deed(1)

    async def both(number: int) -> None:
        a, b = event_of(f"a-{number}"), event_of(f"b-{number}")
        await asyncio.gather(
            left.once(deed.async_, event=a), right.once(deed.async_, event=b),
            left.once(deed.async_, event=b), right.once(deed.async_, event=a),
        )  # fmt: skip

    await asyncio.gather(*(both(number) for number in range(100)))
    assert deed.times == 200


@pytest.fixture
def away(postgres: Postgres, tmp_path: Path) -> Settings:
    """Settings of a ledger that is to be away for a while."""
    return settings_in(tmp_path, effects_url=SecretStr(postgres.new_database()))


def test_a_restart_of_the_database_is_not_noticed(postgres: Postgres, away: Settings) -> None:
    with shops(away) as make:
        one, deed = make(), Deed(1)
        one.once(deed)
        postgres.stop()
        postgres.start()
        one.once(deed, event=event_of("e-2"))
        assert deed.times == 2


def test_while_the_database_is_away_nothing_is_done_and_then_all_is(postgres: Postgres, away: Settings) -> None:
    with shops(away) as make:
        one, deed = make(), Deed(1)
        one.once(deed)
        postgres.stop()
        try:
            with pytest.raises(LedgerUnavailable, match="didn't answer as it should") as raised:
                one.once(deed, event=event_of("e-2"))
            assert raised.value.retriable
            assert deed.times == 1
        finally:
            postgres.start()
        one.once(deed, event=event_of("e-2"))
        assert deed.times == 2


def test_a_result_that_came_while_the_database_was_away_is_not_lost(postgres: Postgres, away: Settings) -> None:
    with shops(away) as make:
        one, two, deed = make(), make(), Deed("receipt")
        one.once(deed, event=event_of("e-0"))
        two.once(deed, event=event_of("e-0"))
        deed.before = postgres.stop
        try:
            with pytest.raises(LedgerUnavailable):
                one.once(deed, "hold")
        finally:
            postgres.start()
        deed.before = None
        # Another worker waits, for the one that has done it gives its signs of life; unless that one, which has not
        # forgotten, has written the result as soon as it could.
        try:
            assert two.once(deed, "hold", seconds=0.0) == "receipt"
        except EffectUnderWay:
            assert deed.times == 2
        assert two.once(deed, "hold") == "receipt"
        assert one.once(deed, "hold") == "receipt"
        assert deed.times == 2
