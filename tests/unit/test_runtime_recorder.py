"""The flight recorder: what was in work when a process died, and who is suspected of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.sample_message import SampleMessage
from tidemill.runtime.orders import Orders
from tidemill.runtime.partition import Partition, units_of
from tidemill.runtime.recorder import PLACES, Recorder, Suspect, make_recorder, read_recorder, suspected
from tidemill.runtime.suspicion import Suspicion

DIES = """
import os, signal, sys
from tests.unit.sample_message import SampleMessage
from tidemill.runtime.partition import Partition, units_of
from tidemill.runtime.recorder import Recorder
of_stream = Recorder(int(sys.argv[1])).of_stream(2)
part = Partition("step.asked", 7, ordered=True)
first, second = units_of(part, [SampleMessage(41, b"a"), SampleMessage(42, b"b")], batch=None, ordered=True)
place = of_stream.take_place()
of_stream.note(place, first)
of_stream.note(place, second)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_was_in_work() -> None:
    descriptor = make_recorder()
    try:
        subprocess.run([sys.executable, "-c", DIES, str(descriptor)], pass_fds=(descriptor,), check=False)
        assert read_recorder(descriptor) == [Suspect(2, 7, 42, 1)]
    finally:
        os.close(descriptor)


def test_what_is_not_in_work_any_more_is_no_suspect() -> None:
    descriptor = make_recorder()
    recorder = Recorder(os.dup(descriptor))
    of_stream = recorder.of_stream(1)
    (unit,) = units_of(Partition("t", 0, ordered=True), [SampleMessage(3)], batch=None, ordered=True)
    place = of_stream.take_place()
    of_stream.note(place, unit)
    assert read_recorder(descriptor)
    of_stream.give_back(place)
    assert read_recorder(descriptor) == []
    of_stream.note(of_stream.take_place(), unit)
    recorder.clear_all()
    assert read_recorder(descriptor) == []
    os.close(descriptor)


def test_more_units_than_places_share_one() -> None:
    recorder = Recorder(make_recorder())
    first, second = recorder.of_stream(1), recorder.of_stream(2)
    places = [each.take_place() for _ in range(PLACES // 2) for each in (first, second)]
    assert sorted(set(places)) == sorted(places)
    assert first.take_place() == second.take_place() == 0
    first.give_back(0)
    assert second.take_place() == 0


def test_an_event_that_is_in_work_again_has_one_death_more() -> None:
    first = suspected([], [Suspect(1, 0, 5, 1), Suspect(1, 0, 6, 1)])
    second = suspected(first, [Suspect(1, 0, 6, 1), Suspect(1, 1, 6, 1)])
    assert {(each.partition, each.offset): each.deaths for each in second} == {(0, 6): 2, (1, 6): 1, (0, 5): 1}


def test_an_event_of_a_suspected_batch_inherits_its_deaths() -> None:
    batch = suspected([], [Suspect(1, 0, 100, 500)])
    (single,) = suspected(batch, [Suspect(1, 0, 230, 1)])
    assert (single.offset, single.count, single.deaths) == (230, 1, 2)


def test_suspects_are_told_to_the_next_process() -> None:
    orders = Orders(["a"], None, 5.0, suspects=[Suspect(1, 2, 3, 4, 5)])
    assert Orders.from_argument(orders.to_argument()) == orders


@pytest.mark.parametrize(("offset", "deaths"), [(9, 0), (10, 1), (12, 2), (14, 1), (15, 0)])
def test_an_event_is_suspected_of_the_most_deaths_it_was_in_work_at(offset: int, deaths: int) -> None:
    suspicion = Suspicion([Suspect(1, 0, 10, 5), Suspect(1, 0, 12, 1, 2)])
    assert suspicion.deaths(0, offset) == deaths
    assert suspicion.deaths(1, offset) == 0
    assert suspicion.falls_on(0, [SampleMessage(offset)]) == bool(deaths)
