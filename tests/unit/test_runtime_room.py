"""A key that waits long takes no room from others: its events are let go, and come back in order."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.engine_bench import Bench, Handler, MakeBench, until
from tests.unit.sample_message import SampleMessage
from tidemill.errors import RetryAfter
from tidemill.runtime import room
from tidemill.runtime.recall import Wanted
from tidemill.runtime.retry import Retry
from tidemill.runtime.room import BACK_AT_ONCE

ROOM = 20
HELD = Retry(attempts=2, first=300.0)
LONG_SECONDS = 0.1


@pytest.fixture(autouse=True)
def shorter_waits_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LONG_WAIT_SECONDS", LONG_SECONDS)


class Log:
    """What Kafka holds, and what was fetched of it again."""

    def __init__(self) -> None:
        self.messages: dict[int, SampleMessage] = {}
        self.asked: list[list[int]] = []
        self.silent: list[Wanted] | None = None
        """Set by a test that wants no answers: what was asked for."""

    def want(self, wanted: Wanted) -> None:
        if self.silent is not None:
            self.silent.append(wanted)
            return
        self.asked.append(list(wanted.offsets))
        found = [self.messages[offset] for offset in wanted.offsets if offset in self.messages]
        asyncio.get_running_loop().call_soon(wanted.back, found)


def feed(run: Bench, log: Log, key: bytes, *numbers: int, first: int) -> None:
    for at, number in enumerate(numbers, start=first):
        log.messages[at] = SampleMessage(at, key, b"%d" % number)
    run.engine.feed(run.part, [log.messages[at] for at in range(first, first + len(numbers))])


async def blocked(bench: MakeBench, handler: Handler, log: Log, behind: int, wait: float = 0.6) -> Bench:
    """A bench whose first event waits long, with so many behind it, fed by ten."""
    handler.outcomes[1] = [RetryAfter(wait)]
    run = bench(handler.stream(room=ROOM, retry=HELD), recall=log)
    feed(run, log, b"blocked", 1, first=0)
    await until(lambda: run.part.held, "the first event waits")
    for first in range(1, behind + 1, 10):
        feed(run, log, b"blocked", *range(first + 1, min(first + 11, behind + 2)), first=first)
    return run


async def test_events_behind_one_that_waits_long_are_let_go_and_run_in_order_when_it_is_done(bench: MakeBench) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=1000)
    assert run.part.count < ROOM
    assert run.part.stubs >= 1000 - ROOM
    feed(run, log, b"other", 5000, first=1001)
    await until(lambda: (5000, 1) in handler.calls, "another key goes on")
    await run.committable(1002)
    assert [number for number, _ in handler.calls if number < 5000] == [1, 1, *range(2, 1002)]
    assert (run.part.stubs, run.part.count, run.part.bytes) == (0, 0, 0)
    # In portions, each once.
    offsets = [offset for asked in log.asked for offset in asked]
    assert offsets == sorted(set(offsets))
    assert max(map(len, log.asked)) <= BACK_AT_ONCE
    assert len(log.asked) < 100


async def test_events_behind_a_short_wait_stay(bench: MakeBench) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=100, wait=LONG_SECONDS)
    assert (run.part.stubs, run.part.count) == (0, 101)
    await run.committable(101)
    assert log.asked == []


async def test_while_there_is_room_nothing_is_let_go(bench: MakeBench) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=ROOM // 2 - 2)
    assert run.part.stubs == 0


async def test_what_the_log_has_lost_meanwhile_is_passed_over(
    bench: MakeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=50)
    let_go = [offset for offset in range(1, 51) if offset <= run.part.stubs]
    for offset in let_go[:30]:
        del log.messages[offset]
    await run.committable(51)
    assert [number for number, _ in handler.calls] == [1, 1, *range(32, 52)]
    assert (run.part.stubs, run.part.count, run.part.bytes) == (0, 0, 0)
    assert "events were deleted before they were read" in capsys.readouterr().out


async def test_a_hole_in_the_log_is_passed_over_as_well(bench: MakeBench) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=40)
    assert run.part.stubs > 12
    for offset in (5, 6, 12):
        del log.messages[offset]
    await run.committable(41)
    assert [number for number, _ in handler.calls] == [1, 1, *(n for n in range(2, 42) if n not in (6, 7, 13))]
    assert run.part.stubs == 0


async def test_what_comes_back_of_a_partition_that_went_elsewhere_is_dropped(bench: MakeBench) -> None:
    handler, log = Handler(), Log()
    run = await blocked(bench, handler, log, behind=50)
    asked: list[Wanted] = []
    log.silent = asked
    await until(lambda: asked, "the messages are called back")
    run.engine.lose([("step.asked", 0)])
    (wanted,) = asked
    assert wanted.is_moot()
    wanted.back([log.messages[offset] for offset in wanted.offsets])
    assert (run.part.stubs, run.part.count) == (0, 0)
    assert handler.calls == [(1, 1), (1, 2)]
