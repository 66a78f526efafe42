"""Events that were in work when a process died: tried again, then alone, then not again."""

from __future__ import annotations

import asyncio

from tests.unit.engine_bench import Handler, MakeBench, until
from tidemill.errors import HandlerDied
from tidemill.runtime.carried import Carried
from tidemill.runtime.recorder import Suspect
from tidemill.runtime.suspicion import Suspicion


async def test_an_event_in_work_at_one_death_is_tried_again_with_that_try_counted(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    run.engine._carried = Carried(Suspicion([Suspect(1, 0, 1, 1)]), None)
    run.feed(10, 11, 12)
    await run.committable(3)
    assert sorted(handler.calls) == [(10, 1), (11, 2), (12, 1)]


async def test_an_event_in_work_at_two_deaths_runs_alone(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    run.engine._carried = Carried(Suspicion([Suspect(1, 0, 1, 1, 2)]), None)
    first, suspect, last = handler.gate(10), handler.gate(11), handler.gate(12)
    run.feed(10, 11)
    await until(lambda: handler.calls, "the first runs")
    run.feed(12, first=2)
    assert [number for number, _ in handler.calls] == [10]  # The suspect waits for it, and the third for the suspect.
    first.set()
    await until(lambda: len(handler.calls) == 2, "the suspect runs")
    last.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert [number for number, _ in handler.calls] == [10, 11]
    suspect.set()
    await run.committable(3)
    assert [number for number, _ in handler.calls] == [10, 11, 12]


async def test_an_event_in_work_at_three_deaths_is_a_dead_letter_and_its_key_goes_on(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    run.engine._carried = Carried(Suspicion([Suspect(1, 0, 0, 1, 3)]), None)
    run.feed(10, 11, key=b"one")
    await run.committable(2)
    assert [number for number, _ in handler.calls] == [11]
    ((offset, error, attempts),) = run.sent.dead
    assert (offset, attempts) == (0, 3)
    assert isinstance(error, HandlerDied)


async def test_suspects_of_a_batch_are_run_one_by_one(bench: MakeBench) -> None:
    seen: list[list[int]] = []
    handler = Handler()

    async def steps(events: list) -> None:  # type: ignore[type-arg]
        seen.append([event.payload.number for event in events])

    declared = handler.stream()
    object.__setattr__(declared, "batch", 10)
    object.__setattr__(declared, "takes_work", False)
    object.__setattr__(declared, "handler", steps)
    run = bench(declared)
    run.engine._carried = Carried(Suspicion([Suspect(1, 0, 1, 2)]), None)
    run.feed(10, 11, 12)
    await run.committable(3)
    run.feed(13, 14, first=3)
    await run.committable(5)
    assert seen == [[10], [11], [12], [13, 14]]
