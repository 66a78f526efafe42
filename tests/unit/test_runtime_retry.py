"""When a failed event is tried again, and after how long."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tidemill import HandlerTimeout, InvalidEvent, Reject, Retry


def test_the_wait_doubles_up_to_its_limit() -> None:
    retry = Retry(first=1.0, most=10.0, jitter=0.0)
    assert [retry.delay_seconds(attempt, Random(1)) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_wait_after_a_thousand_tries_is_still_a_number() -> None:
    assert Retry(first=1.0, most=600.0, jitter=0.0).delay_seconds(1000, Random(1)) == 600


def test_without_a_first_wait_there_is_never_one() -> None:
    waits = {Retry(first=0.0).delay_seconds(attempt, Random(1)) for attempt in (1, 2, 10, 5000)}
    assert waits == {0.0}


def test_without_growth_every_wait_is_the_same() -> None:
    retry = Retry(first=3.0, factor=1.0, jitter=0.0)
    assert {retry.delay_seconds(attempt, Random(1)) for attempt in range(1, 50)} == {3.0}


def test_full_jitter_takes_anything_down_to_nothing() -> None:
    waits = [Retry(first=8.0, jitter=1.0).delay_seconds(1, Random(seed)) for seed in range(200)]
    assert min(waits) < 1
    assert max(waits) > 7


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


def test_an_exception_below_one_named_in_never_is_not_tried_again_either() -> None:
    assert not Retry(never=(OSError,)).may_retry(FileNotFoundError("f"), 1)


def test_never_wins_over_an_error_that_says_it_may_be_tried_again() -> None:
    assert not Retry(never=(HandlerTimeout,)).may_retry(HandlerTimeout("late"), 1)


def test_one_error_may_speak_for_itself_against_its_class() -> None:
    assert not Retry().may_retry(HandlerTimeout("late", retriable=False), 1)
    assert Retry().may_retry(Reject("later", retriable=True), 1)


def test_with_one_attempt_nothing_is_tried_again() -> None:
    assert not Retry(attempts=1).may_retry(ValueError("v"), 1)


@pytest.mark.parametrize(
    "faulty",
    [
        {"attempts": 0},
        {"attempts": 2.5},
        {"first": -1.0},
        {"first": math.nan},
        {"first": 5.0, "most": 1.0},
        {"most": math.inf},
        {"most": math.nan},
        {"factor": 0.5},
        {"factor": math.nan},
        {"factor": math.inf},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"jitter": math.nan},
        {"never": ValueError},
        {"never": ("ValueError",)},
        {"never": (KeyboardInterrupt,)},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="found"):
        Retry(**faulty)
