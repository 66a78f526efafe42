"""What is left of a storm, for the checker to judge: two ledgers and four topics. Data, and who asked for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tests.crash.storm.ledgers import Handled, Published
from tests.crash.storm.notes import BURIED, wish
from tidemill.event import derived_id


class Output(NamedTuple):
    """One message of the outputs' topic."""

    id: str
    lane: str
    number: int
    note: str


@dataclass(frozen=True)
class Evidence:
    """All that is known after a storm.

    Args:
        published: The publisher's ledger, in order.
        handled: The handlers' ledger, in order.
        inputs: Ids of the events in the topics that the streams read, physical repeats included.
        outputs: The outputs' topic, ordered by partition and offset.
        dead: Ids of the dead letters, physical repeats included.
    """

    published: Sequence[Published]
    handled: Sequence[Handled]
    inputs: Sequence[str]
    outputs: Sequence[Output]
    dead: Sequence[str]

    @cached_property
    def asked(self) -> dict[str, Published]:
        """By id, each event that was handed to the publisher, with the last that is known of it."""
        return {entry.id: entry for entry in self.published}

    @cached_property
    def asked_at(self) -> dict[str, float]:
        """By id, when it was handed over."""
        return {entry.id: entry.time_seconds for entry in self.published if entry.outcome == "asked"}

    @cached_property
    def acknowledged(self) -> set[str]:
        """Ids of the events that Tidemill must not lose."""
        return {entry.id for entry in self.asked.values() if entry.outcome == "acknowledged"}

    @cached_property
    def done(self) -> dict[str, Handled]:
        """By id, the first completion of each event."""
        first: dict[str, Handled] = {}
        for entry in self.handled:
            if entry.mark == "DONE":
                first.setdefault(entry.id, entry)
        return first

    @cached_property
    def last_starts(self) -> dict[str, float]:
        """By id, when the last try of each event began."""
        return {entry.id: entry.time_seconds for entry in self.handled if entry.mark == "START"}

    @cached_property
    def to_be_buried(self) -> set[str]:
        """Ids of the acknowledged events that ask for what ends as a dead letter."""
        return {event_id for event_id in self.acknowledged if wish(self.asked[event_id].note)[0] in BURIED}


def output_of(asked: Published) -> Output:
    """The one output that an event must have: its id is derived from the event's (docs/streams.md)."""
    return Output(derived_id(asked.id, f"{asked.stream}:0"), asked.lane, asked.number, asked.stream)
