"""The storm's checker: each fault that it is to find, put into ledgers by hand. One that it can't see is worthless."""

from __future__ import annotations

from collections.abc import Sequence

from tests.crash.storm.checker import Verdict, judge
from tests.crash.storm.evidence import Evidence, Output, output_of
from tests.crash.storm.ledgers import Handled, Mark, Outcome, Published
from tests.crash.storm.notes import Doing, note

FINE = note(Doing.WELL)


def published(number: int, outcome: Outcome = "acknowledged", *, lane: str = "a", note: str = FINE) -> list[Published]:
    """The two lines of one event of the stream `parcels`."""
    event_id = f"{lane}{number}"
    return [
        Published("asked", float(number), event_id, "parcels", lane, number, note),
        Published(outcome, number + 0.1, event_id, "parcels", lane, number, note, 0),
    ]


def handled(mark: Mark, number: int, *, lane: str = "a", attempt: int = 1, worker: int = 1) -> Handled:
    """A line about an event of the stream `parcels`."""
    return Handled(mark, 100.0 + number, f"{lane}{number}", "parcels", lane, number, 0, attempt, worker)


def run(number: int, *, lane: str = "a") -> list[Handled]:
    """A handler that came to its end."""
    return [handled("START", number, lane=lane), handled("DONE", number, lane=lane)]


def evidence(
    asked: Sequence[Published],
    done: Sequence[Handled],
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[Output] | None = None,
    dead: Sequence[str] = (),
) -> Evidence:
    """What is left of a storm; by default each event is in its topic, and each that is done has its output."""
    by_id = {entry.id: entry for entry in asked}
    if inputs is None:
        inputs = [entry.id for entry in by_id.values() if entry.outcome == "acknowledged"]
    if outputs is None:
        finished = dict.fromkeys(entry.id for entry in done if entry.mark == "DONE")
        outputs = [output_of(by_id[each]) for each in finished if each in by_id]
    return Evidence(asked, done, inputs, outputs, dead)


def faults(verdict: Verdict) -> dict[str, object]:
    """All that isn't as in a calm."""
    calm = {"dead_letters_expected", "dead_letters_found"}
    return {
        name: found for name in verdict.__dataclass_fields__ if (found := getattr(verdict, name)) and name not in calm
    }


def test_a_calm_has_no_fault() -> None:
    asked = [*published(0), *published(1), *published(0, lane="b")]
    assert faults(judge(evidence(asked, [*run(0), *run(1), *run(0, lane="b")]))) == {}


def test_an_event_that_no_handler_finished_is_lost() -> None:
    asked = [*published(0), *published(1)]
    found = judge(evidence(asked, [*run(0), handled("START", 1)]))
    assert faults(found) == {"lost": ["a1"]}


def test_an_acknowledged_event_that_is_not_in_its_topic_is_lost() -> None:
    assert judge(evidence(published(0), run(0), inputs=[])).lost == ["a0"]


def test_a_finished_event_without_its_output_is_lost() -> None:
    assert judge(evidence(published(0), run(0), outputs=[])).lost == ["a0"]


def test_an_event_whose_outcome_is_unknown_may_be_there_or_not() -> None:
    asked = [*published(0, "unknown"), *published(1, "unknown")]
    assert faults(judge(evidence(asked, run(0), inputs=["a0"]))) == {}


def test_an_event_that_was_only_asked_for_may_be_there_or_not() -> None:
    asked = [published(0)[0], published(1)[0]]
    assert faults(judge(evidence(asked, run(1), inputs=["a1"]))) == {}


def test_an_event_that_certainly_was_not_published_is_a_phantom_where_it_shows_up() -> None:
    asked = [*published(0, "failed"), *published(1, "failed")]
    assert faults(judge(evidence(asked, []))) == {}
    assert judge(evidence(asked, run(0))).phantom == ["a0"]
    assert judge(evidence(asked, [], inputs=["a1"])).phantom == ["a1"]


def test_an_event_that_nobody_asked_for_is_a_phantom() -> None:
    assert judge(evidence([], run(7))).phantom == ["a7"]
    assert judge(evidence([], [], inputs=["a7"])).phantom == ["a7"]
    assert judge(evidence([], [], dead=["a7"])).phantom == ["a7"]


def test_an_output_of_an_event_that_no_handler_finished_is_a_phantom() -> None:
    asked = published(0)
    found = judge(evidence(asked, [handled("START", 0)], outputs=[output_of(asked[0])]))
    assert found.phantom == ["a0"]


def test_the_same_output_twice_is_counted_as_a_repeat_and_is_no_fault_for_who_goes_by_the_id() -> None:
    asked = published(0)
    found = judge(evidence(asked, run(0), outputs=[output_of(asked[0])] * 3))
    assert faults(found) == {"repeated_outputs": 2}


def test_an_output_with_two_contents_is_doubled() -> None:
    asked = published(0)
    right = output_of(asked[0])
    assert judge(evidence(asked, run(0), outputs=[right, right._replace(number=8)])).doubled_outputs == [right.id]


def test_an_output_with_another_content_than_it_must_have_is_doubled() -> None:
    asked = published(0)
    wrong = output_of(asked[0])._replace(lane="z")
    assert judge(evidence(asked, run(0), outputs=[wrong])).doubled_outputs == [wrong.id]


def test_an_output_whose_id_is_not_derived_is_doubled() -> None:
    asked = published(0)
    right = output_of(asked[0])
    found = judge(evidence(asked, run(0), outputs=[right, right._replace(id="by chance")]))
    assert found.doubled_outputs == ["by chance"]


def test_a_handler_that_comes_to_its_end_twice_has_its_effect_doubled() -> None:
    asked = [*published(0), *published(1)]
    found = judge(evidence(asked, [*run(0), *run(0), *run(1), *run(1), *run(1)]))
    assert (found.doubled_effects, found.reruns) == (3, 3)


def test_a_retry_is_no_rerun() -> None:
    tries = [handled("START", 0), handled("START", 0, attempt=2), handled("DONE", 0, attempt=2)]
    assert faults(judge(evidence(published(0), tries))) == {}


def test_an_event_that_begins_again_from_its_first_try_is_a_rerun() -> None:
    tries = [handled("START", 0), handled("START", 0, attempt=2), *run(0)]
    assert faults(judge(evidence(published(0), tries))) == {"reruns": 1}


def test_events_of_a_key_that_are_first_finished_out_of_order_are_an_inversion() -> None:
    asked = [*published(0), *published(1), *published(2)]
    found = judge(evidence(asked, [*run(1), *run(0), *run(2)]))
    assert found.inversions_first == ["parcels/a: 0 after 1"]
    assert found.inversions_outputs == ["parcels/a: 0 after 1"]
    assert found.inversions_any == 1


def test_a_rerun_after_a_later_event_is_no_inversion_of_first_completions() -> None:
    asked = [*published(0), *published(1)]
    found = judge(evidence(asked, [*run(0), *run(1), *run(0)]))
    assert (found.inversions_first, found.inversions_outputs, found.inversions_any) == ([], [], 1)


def test_a_dead_letter_lets_the_later_events_of_its_key_pass() -> None:
    asked = [*published(0, note=note(Doing.REFUSE_ALWAYS)), *published(1)]
    found = judge(evidence(asked, [handled("START", 0), *run(1)], dead=["a0"]))
    assert faults(found) == {}
    assert (found.dead_letters_expected, found.dead_letters_found) == (1, 1)


def test_different_keys_and_streams_have_no_order_between_them() -> None:
    asked = [*published(0), *published(1), *published(0, lane="b")]
    errand = [
        Published("asked", 0.0, "e", "errands", "a", 0, FINE),
        Published("acknowledged", 0.0, "e", "errands", "a", 0, FINE, 0),
    ]
    done = [*run(0), *run(1), *run(0, lane="b")]
    done += [
        Handled("START", 200.0, "e", "errands", "a", 0, 0, 1, 1),
        Handled("DONE", 200.0, "e", "errands", "a", 0, 0, 1, 1),
    ]
    assert faults(judge(evidence([*asked, *errand], done))) == {}


def test_a_dead_letter_that_was_asked_for_and_is_not_there_is_missing() -> None:
    asked = published(0, note=note(Doing.REFUSE_ALWAYS))
    found = judge(evidence(asked, [handled("START", 0)]))
    assert faults(found) == {"lost": ["a0"], "dead_letters_missing": ["a0"]}


def test_a_dead_letter_that_nobody_asked_for_is_unexpected() -> None:
    found = judge(evidence(published(0), [handled("START", 0)], dead=["a0", "a0"]))
    assert faults(found) == {"dead_letters_unexpected": ["a0"], "repeated_dead_letters": 1}


def test_a_message_that_is_in_its_topic_twice_is_counted() -> None:
    assert faults(judge(evidence(published(0), run(0), inputs=["a0", "a0"]))) == {"repeated_inputs": 1}
