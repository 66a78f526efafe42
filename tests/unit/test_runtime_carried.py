"""How often an event counts as tried that comes from before: from its owner's map, its headers, or deaths."""

from __future__ import annotations

import pytest

from tests.unit.sample_message import SampleMessage
from tidemill.runtime.carried import Carried
from tidemill.runtime.finished import Held
from tidemill.runtime.partition import Partition, Unit
from tidemill.runtime.recorder import Suspect
from tidemill.runtime.suspicion import Suspicion

RETRIES = "g.retry"


def only(carried: Carried, topic: str, held: int | None = None, attempt: bytes | None = None) -> Unit:
    """The unit of one message at offset 5 of partition 0."""
    known = [Held(5, held, 1_793_000_000_000, 60)] if held is not None else []
    part = Partition(topic, 0, ordered=False, held=known, mark=carried.mark(topic, 0))
    message = SampleMessage(5, with_headers=[("tm_attempt", attempt)] if attempt else [], in_topic=topic)
    (unit,) = carried.units(part, [message], batch=None, ordered=False)
    return unit


@pytest.mark.parametrize(
    ("held", "deaths", "tries"),
    [
        (None, 0, 0),
        (3, 0, 3),
        (None, 2, 2),
        (3, 1, 4),  # It died in the try after those.
        (1, 2, 2),
        (0, 3, 3),
    ],
)
def test_tries_of_an_earlier_owner_and_deaths_count(held: int | None, deaths: int, tries: int) -> None:
    suspects = [Suspect(1, 0, 5, 1, deaths)] if deaths else []
    unit = only(Carried(Suspicion(suspects), RETRIES), "step.asked", held)
    assert (unit.attempt, unit.deaths) == (tries, deaths)


def test_what_came_back_says_itself_how_often_it_was_tried() -> None:
    carried = Carried(Suspicion(), RETRIES)
    assert only(carried, RETRIES, attempt=b"4").attempt == 3
    # It failed once more since, and waits here.
    assert only(carried, RETRIES, held=4, attempt=b"4").attempt == 4
    # On the topic of everybody it is somebody else's header.
    assert only(carried, "step.asked", attempt=b"4").attempt == 0


def test_a_death_on_the_one_topic_is_none_on_the_other() -> None:
    first = Carried(Suspicion([Suspect(1, 0, 5, 1, 2)]), RETRIES)
    assert only(first, "step.asked").deaths == 2
    assert only(first, RETRIES).deaths == 0
    second = Carried(Suspicion([Suspect(1, first.mark(RETRIES, 0), 5, 1, 2)]), RETRIES)
    assert only(second, "step.asked").deaths == 0
    assert only(second, RETRIES).deaths == 2


def test_what_came_back_is_never_part_of_a_batch() -> None:
    carried = Carried(Suspicion(), RETRIES)
    part = Partition(RETRIES, 0, ordered=False)
    messages = [SampleMessage(offset, in_topic=RETRIES) for offset in range(3)]
    assert [unit.count for unit in carried.units(part, messages, batch=10, ordered=False)] == [1, 1, 1]
