"""Dead letters that go back to their streams: handled once, by the one where they died, and known to be done."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from consumers.deadletters import payloads
from tests.integration.dead_desk import Script, put_back, ready
from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import dead_letters, publish, until, wait_until, working
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.partitioning import partition_of


async def test_what_died_is_put_back_handled_by_its_stream_alone_and_resolved(settings: Settings) -> None:
    desk = ready(settings)
    one, two = Script("one"), Script("two")
    one.fails = {0, 2, 5}
    # Two lanes of one partition, so that what is finished behind a slow event is only in the commit's map.
    lane, other = [name for name in map(str, range(50)) if partition_of(name.encode(), PARTITIONS) == 0][:2]
    steps = [StepAsked(lane=other if number == 5 else lane, number=number) for number in range(6)]
    ids = publish(settings, steps)
    async with working(settings, one.stream, two.stream):
        await dead_letters(settings, 3)
        await until(lambda: len(two.seen) == 6, "the other stream is through")
        (group,) = (await asyncio.to_thread(desk.json, "list"))["groups"]
        assert (group["letters"], group["stream"], group["error"]) == (3, "one", "ValueError")
        one.seen.clear()
        one.fails = set()
        slow = one.gates[0] = asyncio.Event()
        told = await asyncio.to_thread(
            desk.json, "redrive", "--group", group["group"], "--yes", "--by", "ada", "--why", "x"
        )
        assert (told["redriven"], told["left"]) == (3, 0)
        await until(lambda: len(one.seen) == 2, "what was put back is tried")
        halfway = {"redriven": 2, "resolved": 1}
        await asyncio.to_thread(wait_until, lambda: desk.counts() == halfway, "one is done behind a slow one")
        slow.set()
        await until(lambda: len(one.seen) == 3, "what was put back is handled")
        await asyncio.to_thread(wait_until, lambda: desk.settled() == {"resolved": 3}, "it is known to be done")
        # One after them shows that the other stream has passed what isn't meant for it.
        publish(settings, [StepAsked(lane=lane, number=6)])
        await until(lambda: len(two.seen) == 7, "the other stream goes on")
    assert sorted(one.seen[:3], key=lambda each: each[1]) == [(steps[each].lane, each, ids[each]) for each in (0, 2, 5)]
    assert sorted(number for _, number, _ in two.seen) == list(range(7))
    assert one.attempts[-4:] == [1] * 4
    # What it had done before it died stays done: to an effect it is the same event.
    assert len(one.charged) == len(set(one.charged)) == 7
    back = [Event.received(None, message) for message in put_back(settings)]
    assert [event.id for event in back if event.key == lane] == [ids[0], ids[2]]
    assert [event.id for event in back if event.key == other] == [ids[5]]
    assert all(not name.startswith("tm_dead_") for event in back for name, _ in event.raw_headers)
    shown = desk.json("show", ids[0])
    assert [(each["what"], each["by"]) for each in shown["history"]] == [
        ("died", None),
        ("redriven", "ada"),
        ("resolved", None),
    ]
    (run,) = desk.json("audit")
    assert (run["action"], run["by"], run["why"], run["letters"]) == ("redrive", "ada", "x", 3)
    desk("redrive", "--group", group["group"], "--yes", exit_code=5)


async def test_what_dies_again_comes_back_until_it_was_put_back_too_often(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "installed_events", lambda: [StepAsked])
    desk = ready(settings)
    one = Script("one")
    one.fails = {0}
    (event_id,) = publish(settings, [StepAsked(lane="a", number=0)])
    async with working(settings, one.stream):
        for deaths in (1, 2):
            await dead_letters(settings, deaths)
            assert (await asyncio.to_thread(desk.json, "redrive", "--id", event_id, "--yes"))["redriven"] == 1
        await dead_letters(settings, 3)
        kept = await asyncio.to_thread(
            desk, "redrive", "--id", event_id, "--yes", exit_code=1, TIDEMILL_DEAD_MOST_REDRIVES="2"
        )
        assert "put back 2 times already" in kept.output
        assert await asyncio.to_thread(desk.counts) == {"returned": 2, "open": 1}
        # Another payload of the same event: a patch that is checked against the contract.
        fix, misfit = tmp_path / "fix.json", tmp_path / "misfit.json"
        fix.write_text(json.dumps([{"op": "replace", "path": "/number", "value": 7}]), "utf-8")
        misfit.write_text('{"number": "seven"}', "utf-8")
        order = ["redrive", "--id", event_id, "--again", "--yes"]
        refused = await asyncio.to_thread(desk, *order, "--edit", str(misfit), exit_code=1)
        assert "field 'number' must be" in refused.output
        looked = await asyncio.to_thread(desk, *order, "--edit", str(fix), "--dry-run")
        assert '-  "number": 0' in looked.output
        assert '+  "number": 7' in looked.output
        await asyncio.to_thread(desk, *order, "--edit", str(fix))
        await until(lambda: one.seen[-1][1] == 7, "the changed event is handled")
        await asyncio.to_thread(wait_until, lambda: desk.settled() == {"returned": 2, "resolved": 1}, "it is done")
    assert one.seen == [("a", 0, event_id)] * 3 + [("a", 7, event_id)]
    with Registry(settings) as registry:
        assert Codec(registry).decode(put_back(settings)[-1].value(), StepAsked).number == 7
    before = desk.counts()
    rebuilt = desk.json("index", "--rebuild")
    assert (rebuilt["letters"], rebuilt["actions"]) == (3, 3)
    assert desk.counts() == before
