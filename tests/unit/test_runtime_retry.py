"""When a failed event is tried again, and after how long."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tidemill import HandlerTimeout, InvalidEvent, Reject, Retry


def test_the_wait_doubles_up_to_its_limit() -> None:
    retry = Retry(first=1.0, most=10.0, jitter=0.0)
    assert [retry.delay_seconds(attempt, Random(1)) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_wait_after_a_thousand_tries_is_still_a_number() -> None:
    assert Retry(first=1.0, most=600.0, jitter=0.0).delay_seconds(1000, Random(1)) == 600


def test_jitter_takes_away_at_most_its_share() -> None:
    retry = Retry(first=8.0, jitter=0.5)
    waits = [retry.delay_seconds(1, Random(seed)) for seed in range(200)]
    assert all(4 <= wait <= 8 for wait in waits)
    assert max(waits) - min(waits) > 3


def test_errors_say_themselves_whether_trying_again_helps() -> None:
    retry = Retry(attempts=3)
    assert retry.may_retry(ValueError("anything"), 1)
    assert retry.may_retry(HandlerTimeout("late"), 2)
    assert not retry.may_retry(HandlerTimeout("late"), 3)
    assert not retry.may_retry(Reject("never"), 1)
    assert not retry.may_retry(InvalidEvent("a.b", "c", 1, "text"), 1)


def test_what_is_named_in_never_is_not_tried_again() -> None:
    retry = Retry(never=(KeyError,))
    assert not retry.may_retry(KeyError("k"), 1)
    assert retry.may_retry(ValueError("v"), 1)


@pytest.mark.parametrize(
    "faulty", [{"attempts": 0}, {"first": -1.0}, {"first": 5.0, "most": 1.0}, {"factor": 0.5}, {"jitter": 1.5}]
)
def test_a_policy_that_makes_no_sense_is_refused(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="found"):
        Retry(**faulty)
