"""What `tidemill delayed` says, and with which exit status."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.delays.asking import Asked
from scheduler.delays.requests import Answer, Outcome, Wish
from scheduler.delays.wording import due_in, end_of, span, verdict
from tests.unit.test_delays_waiting import event

NOON = datetime(2026, 11, 24, 12, 0, 3, tzinfo=UTC)
SENT = Outcome(Answer.DISPATCHED, NOON, "host:7", "image.requested")
CANCELLED = Outcome(Answer.CANCELLED, NOON, "ann@host", None)


@pytest.mark.parametrize(
    ("wish", "answer", "outcome", "status", "said"),
    [
        (Wish.CANCEL, Answer.CANCELLED, None, 0, "cancelled: x will not be dispatched."),
        (Wish.CANCEL, Answer.ABSENT, CANCELLED, 0, "cancelled already at 2026-11-24 12:00:03Z by ann@host: x"),
        (Wish.CANCEL, Answer.ABSENT, SENT, 4, "dispatched already at 2026-11-24 12:00:03Z to image.requested: x"),
        (Wish.CANCEL, Answer.ABSENT, None, 5, "No such event waits: x."),
        (Wish.CANCEL, None, None, 3, "No scheduler has answered within 10 s."),
        (Wish.NOW, Answer.DISPATCHED, None, 0, "dispatched: x is in its topic now."),
        (Wish.NOW, Answer.ABSENT, SENT, 0, "dispatched already"),
        (Wish.NOW, Answer.ABSENT, CANCELLED, 4, "cancelled already"),
        (Wish.NOW, Answer.REFUSED, None, 1, "not dispatched: x waits on. Topic 'x' doesn't exist."),
    ],
)
def test_an_answer_says_which_it_was(
    wish: Wish, answer: Answer | None, outcome: Outcome | None, status: int, said: str
) -> None:
    reason = "Topic 'x' doesn't exist." if answer is Answer.REFUSED else ""
    found_status, line = verdict(wish, "x", Asked(answer, reason), outcome, 10.0)
    assert found_status == status
    assert line.startswith(said)


def test_an_end_without_a_time_is_told_without_one() -> None:
    assert end_of("x", Outcome(Answer.CANCELLED, None, "ann@host", None)) == "cancelled already by ann@host: x"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_725, "1 h 2 min"),
        (86_400, "1 d"),
        (31_539_600, "365 d 1 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_an_event_is_due_in_some_time_or_overdue() -> None:
    at_noon = event(1, int(NOON.timestamp()) * 1_000_000)
    assert due_in(at_noon, datetime(2026, 11, 24, 11, 58, 3, tzinfo=UTC)) == "2 min"
    assert due_in(at_noon, datetime(2026, 11, 24, 12, 5, 5, tzinfo=UTC)) == "5 min 2 s overdue"
