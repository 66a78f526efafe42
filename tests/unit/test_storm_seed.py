"""What a storm's seed decides, and what its promises say of what was found."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tests.crash.storm.acts import Act, Victim
from tests.crash.storm.aftermath import Aftermath
from tests.crash.storm.checker import Verdict
from tests.crash.storm.drawing import PAUSE_SECONDS, draws
from tests.crash.storm.field import Nemesis
from tests.crash.storm.handlers import errands, parcels
from tests.crash.storm.ledgers import Handled, Ledger, Published
from tests.crash.storm.nemeses import LEFT_OUT, NEMESES, chosen
from tests.crash.storm.notes import Doing, draw_errand, draw_parcel, note, wish
from tests.crash.storm.promises import Outcome, broken, promises
from tests.crash.storm.stalls import Stall
from tests.crash.storm.tally import Tally

TWO = [Nemesis("often", 3, lambda field, luck: ""), Nemesis("seldom", 1, lambda field, luck: "")]


def test_the_same_seed_brings_the_same_acts_and_another_one_others() -> None:
    assert list(islice(draws(7, TWO), 50)) == list(islice(draws(7, TWO), 50))
    assert list(islice(draws(7, TWO), 50)) != list(islice(draws(8, TWO), 50))


def test_each_round_has_every_nemesis_as_often_as_its_weight_says() -> None:
    names = [draw.nemesis.name for draw in islice(draws(7, TWO), 8)]
    assert Counter(names[:4]) == Counter(names[4:]) == {"often": 3, "seldom": 1}


def test_pauses_are_long_enough_to_tell_acts_apart_and_each_act_has_luck_of_its_own() -> None:
    drawn = list(islice(draws(7, TWO), 200))
    assert all(PAUSE_SECONDS[0] <= draw.pause_seconds <= PAUSE_SECONDS[1] for draw in drawn)
    assert len({draw.seed for draw in drawn}) == 200


def test_without_nemeses_there_are_no_acts() -> None:
    assert list(draws(7, [])) == []


def test_a_nemesis_that_is_not_there_is_named_with_those_that_are() -> None:
    assert [nemesis.name for nemesis in chosen(["kill-worker", "kill-broker"])] == ["kill-worker", "kill-broker"]
    with pytest.raises(ValueError, match="no nemesis is named 'kill-moon'; there are kill-worker, "):
        chosen(["kill-worker", "kill-moon"])


def test_every_nemesis_is_either_there_or_left_out_with_a_reason() -> None:
    assert not NEMESES.keys() & LEFT_OUT.keys()
    assert all(LEFT_OUT.values())
    assert all(name == nemesis.name and nemesis.weight > 0 for name, nemesis in NEMESES.items())


def test_a_note_says_what_it_was_made_of() -> None:
    assert wish(note(Doing.HANG_ONCE, 250)) == (Doing.HANG_ONCE, 0.25)
    with pytest.raises(ValueError, match="nonsense"):
        wish("nonsense 5")


def test_most_parcels_take_milliseconds_some_take_seconds_and_some_are_refused() -> None:
    luck = Random(1)
    drawn = [wish(draw_parcel(luck)) for _ in range(5000)]
    assert {doing for doing, _ in drawn} == {Doing.WELL, Doing.REFUSE_ONCE, Doing.REFUSE_ALWAYS}
    assert 20 < sum(1 for _, seconds in drawn if seconds == 2.0) < 100
    assert sum(1 for _, seconds in drawn if seconds < 0.2) > 4800


def test_no_event_of_the_usual_load_ends_a_process() -> None:
    luck = Random(1)
    assert {wish(draw_errand(luck))[0] for _ in range(5000)} == {Doing.WELL, Doing.REFUSE_ONCE, Doing.REFUSE_ALWAYS}


def test_both_streams_keep_the_order_of_keys_and_the_misbehaving_one_has_processes_to_lose() -> None:
    assert (parcels.order, errands.order) == ("key", "key")
    assert (parcels.executor, errands.executor) == ("async", "process")


def test_a_ledger_gives_back_what_was_written_and_leaves_out_a_line_that_is_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    entries = [
        Published("asked", 1.5, "id", "parcels", "a b", 0, "well 5"),
        Published("unknown", 2, "id", "s", "l", 1, ""),
    ]
    ledger = Ledger(path)
    for entry in entries:
        ledger.write(entry)
    ledger.close()
    with path.open("ab") as file:
        file.write(b'["asked",3.0,"half')
    assert list(Published.read(path)) == entries
    assert list(Published.read(tmp_path / "none")) == []


def test_lines_of_two_writers_of_one_ledger_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    entries = [Handled("START", float(n), "x" * 200, "parcels", "a", n, 0, 1, os.getpid()) for n in range(500)]
    one, two = Ledger(path), Ledger(path)
    for entry in entries[::2]:
        one.write(entry)
    for entry in entries[1::2]:
        two.write(entry)
    one.close()
    two.close()
    assert sorted(Handled.read(path), key=lambda entry: entry.number) == entries


def test_the_tally_counts_an_event_once_and_knows_who_works_on_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    tally = Tally(path)
    assert (tally.count_done(), tally.is_done("a"), tally.worker_of("a")) == (0, False, None)
    ledger = Ledger(path)
    start = Handled("START", 1.0, "a", "parcels", "l", 0, 0, 1, 4711)
    ledger.write(start)
    assert (tally.is_done("a"), tally.worker_of("a")) == (False, 4711)
    for _ in range(2):
        ledger.write(replace(start, mark="DONE"))
    ledger.close()
    assert (tally.count_done(), tally.is_done("a"), tally.worker_of("a")) == (1, True, None)


CALM = Verdict([], [], [], 0, 0, 0, 0, [], 0, [], 0, 3, 3, [], [])


def outcome(
    verdict: Verdict = CALM,
    *,
    stalls: tuple[Stall, ...] = (),
    go_on_seconds: float = 7.0,
    heal_seconds: float | None = 2.0,
    acts: tuple[Act, ...] = (),
    fallen: tuple[str, ...] = (),
    slope: float | None = 0.1,
) -> list[str]:
    """What is said to be broken."""
    aftermaths = [Aftermath(Victim(1.0, 1, "kill"), go_on_seconds, 0, 0), Aftermath(Victim(2.0, 1, "kill"), None, 0, 0)]
    return broken(promises(Outcome(verdict, stalls, aftermaths, acts, heal_seconds, fallen, slope)))


def test_after_a_storm_without_faults_nothing_is_broken() -> None:
    assert outcome() == []


@pytest.mark.parametrize(
    "fault",
    [
        "lost",
        "phantom",
        "doubled_outputs",
        "inversions_first",
        "inversions_outputs",
        "dead_letters_missing",
        "dead_letters_unexpected",
    ],
)
def test_a_single_fault_breaks_a_promise(fault: str) -> None:
    assert len(outcome(replace(CALM, **{fault: ["one"]}))) == 1  # type: ignore[arg-type]


def test_events_that_run_twice_break_no_promise() -> None:
    assert outcome(replace(CALM, reruns=9, doubled_effects=9, repeated_outputs=9, inversions_any=9)) == []


def test_what_takes_too_long_is_told_with_its_limit() -> None:
    assert outcome(go_on_seconds=10.5) == ["seconds until a killed worker's events go on: 10.5, at most 10"]
    assert outcome(go_on_seconds=float("inf")) == ["seconds until a killed worker's events go on: never, at most 10"]
    assert outcome(heal_seconds=None) == ["seconds from healing to zero lag: never, at most 10"]
    assert outcome(fallen=("worker-0 ended",)) == ["workers that need a restart by hand: 1, at most 0"]
    assert outcome(slope=0.9) == ["MB that a worker grows per minute: 0.9, at most 0.5"]


def test_a_stall_may_be_as_long_as_the_act_during_it_allows() -> None:
    killed, lost = Act(0, 1, "kill-worker", "", 5.0), Act(0, 1, "kill-broker", "", 15.0)
    anything = Act(0, 1, "leap-clock", "", None)
    assert outcome(stalls=(Stall(0, 14, (killed, lost)), Stall(20, 24, (killed,)), Stall(30, 99, (anything,)))) == []
    assert outcome(stalls=(Stall(0, 14, (killed,)),)) == ["seconds of stall under acts on workers: 14, at most 5"]
    assert outcome(stalls=(Stall(0, 16, (lost,)),)) == ["seconds of stall under the loss of one broker: 16, at most 15"]


def test_with_patience_limits_of_time_are_longer_and_no_others() -> None:
    late = Outcome(CALM, (Stall(0, 9, ()),), [Aftermath(Victim(1.0, 1, "kill"), 19.0, 0, 0)], (), 19.0, (), 0.1)
    assert len(broken(promises(late))) == 3
    assert broken(promises(replace(late, patience=2.0))) == []
    lost = replace(late, patience=2.0, verdict=replace(CALM, lost=["one"]))
    assert broken(promises(lost)) == ["events lost: 1, at most 0"]


def test_an_act_that_did_not_heal_breaks_a_promise() -> None:
    assert outcome(acts=(Act(0, 1, "kill-worker", "", 5.0, "not ready"),)) == ["acts that did not heal: 1, at most 0"]


def test_a_storm_too_short_to_tell_whether_memory_grows_says_so() -> None:
    judged = promises(Outcome(CALM, (), (), (), 1.0, (), None))
    assert [promise.held for promise in judged if promise.name.startswith("MB")] == [None]
    assert broken(judged) == []
