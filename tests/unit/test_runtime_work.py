"""What a handler may return and emit, and what it may not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tidemill.config import load_settings
from tidemill.event import Event, Position
from tidemill.runtime.work import Output, Work, as_outputs

ONE = StepDone(lane="a", number=1)
TWO = StepDone(lane="a", number=2)


def work(timeout_seconds: float | None = None) -> Work:
    return Work("steps", 1, timeout_seconds, load_settings())


def cause() -> Event[StepAsked]:
    return Event(StepAsked(lane="a", number=0), key=b"a", headers=[], position=Position("step.asked", 0, 7, 0))


def yields() -> Iterator[StepDone]:
    yield ONE
    yield TWO


@pytest.mark.parametrize(
    ("returned", "published"),
    [
        (None, []),
        (ONE, [ONE]),
        ([], []),
        ([ONE, TWO], [ONE, TWO]),
        ((ONE, TWO), [ONE, TWO]),
        (yields(), [ONE, TWO]),
        (iter((ONE, TWO)), [ONE, TWO]),
        ({"a": ONE, "b": TWO}.values(), [ONE, TWO]),
        (Output(ONE), [ONE]),
        ([ONE, Output(TWO, key="k")], [ONE, TWO]),
    ],
    ids=["None", "one", "no", "list", "tuple", "generator", "iterator", "view", "an Output", "mixed"],
)
def test_none_one_or_many_events_are_published_in_their_order(returned: Any, published: list[StepDone]) -> None:
    assert [output.payload for output in as_outputs(returned, None)] == published


def test_what_an_output_says_besides_its_payload_is_kept() -> None:
    event = cause()
    said = Output(ONE, key=b"raw", subject="invoice 7", headers={"trace": "on"}, cause=event)
    (kept,) = as_outputs([said], None)
    assert kept is said


def test_emitted_events_come_before_returned_ones() -> None:
    at_work = work()
    at_work.emit(TWO, key="k", subject="s", headers={"h": "v"}, cause=(event := cause()))
    emitted, returned = as_outputs(ONE, at_work)
    assert (emitted.payload, emitted.key, emitted.subject, emitted.headers) == (TWO, "k", "s", {"h": "v"})
    assert emitted.cause is event
    assert returned.payload == ONE


def test_a_generator_that_emits_while_it_runs_loses_nothing() -> None:
    at_work = work()

    def both() -> Iterator[StepDone]:
        at_work.emit(ONE)
        yield TWO

    assert [output.payload for output in as_outputs(both(), at_work)] == [ONE, TWO]


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("done", r"a handler returns events or None, found str: 'done'"),
        (b"done", r"found bytes: b'done'"),
        ({"ok": True}, r"found dict: \{'ok': True\}"),
        (True, r"found bool: True"),
        (42, r"found int: 42"),
        (StepDone, r"found type: <class"),
        ([ONE, "and more"], r"a handler returns events, found str among them: 'and more'"),
        ([None], r"found NoneType among them"),
        ([[ONE]], r"found list among them"),
    ],
)
def test_what_is_no_event_is_refused_and_shown(returned: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        as_outputs(returned, None)


def test_of_a_long_value_that_is_no_event_only_the_beginning_is_shown() -> None:
    with pytest.raises(TypeError) as refused:
        as_outputs("x" * 10_000, None)
    assert len(str(refused.value)) < 200


def test_what_a_generator_raises_is_raised_as_it_is() -> None:
    def breaks() -> Iterable[StepDone]:
        yield ONE
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        as_outputs(breaks(), None)


def test_the_time_left_shrinks_to_zero_and_no_further() -> None:
    assert work().remaining_seconds is None
    at_work = work(10.0)
    assert at_work.remaining_seconds is not None
    assert 0 < at_work.remaining_seconds <= 10
    at_work.started -= 60
    assert at_work.remaining_seconds == 0
