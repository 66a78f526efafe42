"""The rules of effects, apart from any ledger: names, verdicts, results, and who counts as dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import pytest

from tidemill.errors import EffectError
from tidemill.runtime.effects.decision import Verdict, decide
from tidemill.runtime.effects.entry import MOST_BYTES, EffectName, Entry, State, brief_note, stored
from tidemill.runtime.effects.owner import is_gone, this_process
from tidemill.runtime.effects.pulse import Pulses
from tidemill.runtime.effects.result import as_json, refuse_unkeepable


def entry(state: State) -> Entry:
    name = EffectName("e-1", "tidemill.shop", "charge")
    return Entry(name, state, "hold", 1, "0123", "host:1", None, None, 0, None, 1)


@pytest.mark.parametrize(
    ("state", "dead", "again", "hold"),
    [
        ("done", False, "return", "return"),
        ("done", True, "return", "return"),
        ("failed", False, "do", "do"),
        ("failed", True, "do", "do"),
        ("started", False, "wait", "wait"),
        ("started", True, "do", "hold"),
        ("unknown", False, "do", "hold"),
        ("unknown", True, "do", "hold"),
    ],
)
def test_what_a_try_may_do_follows_from_state_policy_and_whether_the_owner_lives(
    state: State, dead: bool, again: Verdict, hold: Verdict
) -> None:
    assert decide(entry(state), "again", owner_is_dead=dead) == again
    assert decide(entry(state), "hold", owner_is_dead=dead) == hold


def hostile_texts() -> Iterator[str]:
    parts = ["", "a", "\\", "\0", "\\x00", "\\~", "\n", "\ud800", "ä", " ", "\u2028"]
    yield from ("".join(each) for each in product(parts, repeat=3))
    for length in (MOST_BYTES - 1, MOST_BYTES, MOST_BYTES + 1, 100_000):
        yield from ("x" * length, "\0" * length, "💸" * length, "x" * length + "y")
    # What a long text is written as, as a text of its own.
    yield stored("x" * 100_000)


def test_texts_that_differ_are_written_differently_and_any_database_takes_them() -> None:
    texts = set(hostile_texts())
    written = {stored(text) for text in texts}
    assert len(written) == len(texts) > 500
    for text in written:
        assert text.isprintable()
        assert len(text.encode()) <= MOST_BYTES


def test_an_ordinary_text_is_written_as_it_is() -> None:
    assert stored("0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f") == "0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f"
    assert stored("mail to zoë@example.org") == "mail to zoë@example.org"


def test_a_note_holds_anything_in_bounds() -> None:
    assert brief_note("a\0\ud800") == "a\\x00\\ud800"
    assert len(brief_note("x" * 5000)) == 2000


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "ä\0\ud800", [1, [2]], {"a": {"b": None}}, (1, 2)])
def test_what_has_a_json_form_is_kept(value: Any) -> None:
    assert as_json(value).isascii()


def endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value", [b"x", object(), {1}, float("nan"), {1: "a"}, [{None: 1}], endless(), deep(), datetime(2026, 1, 1)],
    ids=["bytes", "object", "set", "NaN", "a number as key", "None as key", "endless", "deep", "datetime"],
)  # fmt: skip
def test_what_has_none_is_refused_with_what_it_is(value: Any) -> None:
    with pytest.raises(EffectError, match=rf"no JSON \({type(value).__name__}\)"):
        as_json(value)


@dataclass
class Receipt:
    number: str


def returns_receipt() -> Receipt:
    raise AssertionError


def returns_any() -> Any:
    raise AssertionError


def returns_what_nobody_knows() -> Unknown:  # type: ignore[name-defined] # noqa: F821 - that is the point
    raise AssertionError


def test_only_what_surely_has_no_json_form_is_refused_by_its_annotation() -> None:
    with pytest.raises(EffectError, match="returns_receipt returns Receipt, which is no JSON; it was not begun"):
        refuse_unkeepable(returns_receipt)
    for effect in (returns_any, returns_what_nobody_knows, lambda: b"", print):
        refuse_unkeepable(effect)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_owner_whose_pulse_stops_is_dead_after_the_lease() -> None:
    clock = Clock()
    pulses = Pulses(10.0, clock)
    for second in range(10):
        clock.now = float(second)
        assert not pulses.is_dead("a", 7)
    clock.now = 10.0
    assert pulses.is_dead("a", 7)


def test_an_owner_whose_pulse_goes_on_is_alive_for_ever() -> None:
    clock = Clock()
    pulses = Pulses(10.0, clock)
    for second in range(0, 1000, 4):
        clock.now = float(second)
        assert not pulses.is_dead("a", second)


def test_while_nobody_could_look_nobody_has_died() -> None:
    clock = Clock()
    pulses = Pulses(10.0, clock)
    assert not pulses.is_dead("a", 7)
    clock.now = 3600.0  # The ledger, or this process, was away for an hour.
    assert not pulses.is_dead("a", 7)
    clock.now += 4.0
    assert not pulses.is_dead("a", 8)


def test_an_owner_that_the_ledger_does_not_know_is_dead() -> None:
    assert Pulses(10.0).is_dead("a", None)


def test_owners_are_looked_at_between_questions_and_forgotten_when_nobody_asks() -> None:
    clock = Clock()
    pulses = Pulses(10.0, clock)
    assert not pulses.is_dead("a", 7)
    for second in range(2, 13, 2):
        clock.now = float(second)
        assert pulses.watched() == ["a"]
        pulses.look({"a": 7})
    assert pulses.is_dead("a", 7)
    clock.now += 41.0
    assert pulses.watched() == []


def test_this_process_is_not_gone_and_one_that_was_killed_is() -> None:
    assert not is_gone(this_process().place)
    code = "from tidemill.runtime.effects.owner import this_process; print(this_process().place, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        place = one.stdout.readline().strip()
        assert str(one.pid) in place
        assert not is_gone(place)
        one.kill()
        one.wait(10)
    assert is_gone(place)


def test_a_process_number_that_was_given_away_again_is_another_process() -> None:
    home, pid, start = (this_process().place or "").rsplit(" ", 2)
    assert is_gone(f"{home} {pid} {int(start) - 1}")


@pytest.mark.parametrize("place", [None, "", "x", "another-boot pid:[1] 1 1", "elsewhere PID 1"])
def test_of_a_process_elsewhere_nobody_here_knows(place: str | None) -> None:
    place = None if place is None else place.replace("PID", str(os.getpid()))
    assert not is_gone(place)


def test_every_owner_is_another_one() -> None:
    assert this_process().token != this_process().token
