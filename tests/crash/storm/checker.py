"""The checker: what was lost, made up, doubled or put out of order, from the evidence alone. Computes only.

An event may run more than once (that is counted); what must not be is that it is lost, that its output has two faces,
or that of one key a later event is finished before an earlier one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.crash.storm.evidence import Evidence, output_of


@dataclass(frozen=True)
class Verdict:
    """What the evidence shows; ids are of events, if nothing else is said, sorted.

    Args:
        lost: Acknowledged, but not in its topic; or neither finished nor buried; or finished without an output.
        phantom: Finished, buried, put out or in a topic, but never published, or certainly not.
        doubled_outputs: Ids of outputs with more than one content, or that follow from no event's id.
        doubled_effects: How often a handler came to its end beyond the first time: an effect that isn't safe to
            repeat would have happened twice.
        repeated_inputs: Messages with an id that the topic has already.
        repeated_outputs: Messages with the id and content of another; readers that go by the id count them once.
        repeated_dead_letters: The same for dead letters.
        inversions_first: `lane: number after number`, among first completions.
        inversions_any: How many completions there were of an event after one that follows it in its lane.
        inversions_outputs: As the first, by the order in which a reader sees outputs for the first time.
        reruns: First tries of events beyond the first one.
        dead_letters_expected: How many were asked for.
        dead_letters_found: How many there are, each counted once.
        dead_letters_missing: Asked for, but not there.
        dead_letters_unexpected: There, but not asked for.
    """

    lost: list[str]
    phantom: list[str]
    doubled_outputs: list[str]
    doubled_effects: int
    repeated_inputs: int
    repeated_outputs: int
    repeated_dead_letters: int
    inversions_first: list[str]
    inversions_any: int
    inversions_outputs: list[str]
    reruns: int
    dead_letters_expected: int
    dead_letters_found: int
    dead_letters_missing: list[str]
    dead_letters_unexpected: list[str]


def judge(evidence: Evidence) -> Verdict:
    """Hold what was promised against what is there."""
    wanted = {event_id: output_of(asked) for event_id, asked in evidence.asked.items()}
    possible = {entry.id for entry in evidence.asked.values() if entry.outcome != "failed"}
    contents: dict[str, set[tuple[str, int, str]]] = defaultdict(set)
    for output in evidence.outputs:
        contents[output.id].add(output[1:])

    buried = set(evidence.dead)
    finished = evidence.done.keys()
    lost = evidence.acknowledged - set(evidence.inputs)
    lost |= evidence.acknowledged - finished - buried
    lost |= {each for each in evidence.acknowledged & finished if wanted[each].id not in contents}

    phantom = (finished | buried | set(evidence.inputs)) - possible
    # The output of an event that no handler has finished comes from nowhere as well.
    phantom |= {each for each, output in wanted.items() if output.id in contents and each not in finished}

    by_output = {output.id: output for output in wanted.values()}
    doubled = {each for each, seen in contents.items() if each not in by_output or seen != {by_output[each][1:]}}

    starts = Counter(entry.id for entry in evidence.handled if entry.mark == "START" and entry.attempt == 1)
    completions = [entry for entry in evidence.handled if entry.mark == "DONE"]
    return Verdict(
        lost=sorted(lost),
        phantom=sorted(phantom),
        doubled_outputs=sorted(doubled),
        doubled_effects=len(completions) - len(finished),
        repeated_inputs=_repeats(evidence.inputs),
        repeated_outputs=_repeats(evidence.outputs),
        repeated_dead_letters=_repeats(evidence.dead),
        inversions_first=inversions((f"{e.stream}/{e.lane}", e.number) for e in evidence.done.values()),
        inversions_any=_late_completions((f"{e.stream}/{e.lane}", e.number) for e in completions),
        inversions_outputs=inversions(dict.fromkeys((f"{e.note}/{e.lane}", e.number) for e in evidence.outputs)),
        reruns=starts.total() - len(starts),
        dead_letters_expected=len(evidence.to_be_buried),
        dead_letters_found=len(buried),
        dead_letters_missing=sorted(evidence.to_be_buried - buried),
        dead_letters_unexpected=sorted(buried - evidence.to_be_buried),
    )


def inversions(steps: Iterable[tuple[str, int]]) -> list[str]:
    """Steps of a lane that come after one with a greater number, each lane's steps in the order they were made."""
    highest: dict[str, int] = {}
    found = []
    for lane, number in steps:
        if number < highest.get(lane, -1):
            found.append(f"{lane}: {number} after {highest[lane]}")
        highest[lane] = max(number, highest.get(lane, -1))
    return found


def _late_completions(steps: Iterable[tuple[str, int]]) -> int:
    return len(inversions(steps))


def _repeats(items: Iterable[object]) -> int:
    counted = Counter(items)
    return counted.total() - len(counted)
