"""When a failed event is tried again, and after how long."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tidemill import HandlerTimeout, InvalidEvent, Reject, Retry, RetryAfter


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
        {"expires": 0},
        {"expires": math.nan},
        {"expires": math.inf},
        {"in_place": -1.0},
        {"in_place": math.nan},
        {"in_place": math.inf},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="found"):
        Retry(**faulty)


def waits(retry: Retry, error: BaseException, attempt: int = 1, age: float = 0.0, most: float = math.inf) -> Any:
    return retry.wait_seconds(error, attempt, age, Random(1), most)


def test_a_handler_that_says_when_is_tried_again_then_and_not_when_the_policy_says() -> None:
    retry = Retry(attempts=3, first=1.0, most=10.0)
    assert waits(retry, RetryAfter(90)) == 90
    assert waits(retry, RetryAfter(0)) == 0
    assert 0.5 <= waits(retry, ValueError("v")) <= 1


def test_however_long_a_handler_wants_to_wait_it_is_no_longer_than_the_event_is_kept() -> None:
    assert waits(Retry(), RetryAfter(1e9), most=3600.0) == 3600


def test_a_try_that_a_handler_has_put_off_counts_as_any() -> None:
    assert waits(Retry(attempts=3), RetryAfter(1), attempt=3) is None


def test_an_event_whose_next_try_would_come_after_it_expires_has_none() -> None:
    retry = Retry(first=10.0, jitter=0.0, expires=60.0)
    assert waits(retry, ValueError("v"), age=50.0) == 10
    assert waits(retry, ValueError("v"), age=50.1) is None
    assert waits(retry, RetryAfter(61)) is None
    assert waits(retry, Reject("never")) is None


@pytest.mark.parametrize(
    "retry",
    [
        Retry(),
        Retry(attempts=1),
        Retry(attempts=20, first=0.5, most=30.0, factor=3.0),
        Retry(attempts=7, first=2.0, most=2.0),
        Retry(attempts=7, first=2.0, factor=1.0),
        Retry(attempts=50, first=1.0, most=600.0, factor=1.01),
        Retry(attempts=9, first=0.0),
    ],
)
def test_the_longest_wait_in_all_is_the_sum_of_the_waits(retry: Retry) -> None:
    steady = Retry(retry.attempts, retry.first, retry.most, retry.factor, jitter=0.0)
    one_by_one = sum(steady.delay_seconds(attempt, Random(1)) for attempt in range(1, retry.attempts))
    assert retry.longest_seconds == pytest.approx(one_by_one)


def test_the_longest_wait_of_numbers_beyond_all_measure_is_a_number_and_not_too_small() -> None:
    assert 1e300 <= Retry(attempts=4, first=1e-300, most=1e300, factor=1e300).longest_seconds <= 4e300


def test_a_billion_tries_are_summed_up_at_once() -> None:
    assert Retry(attempts=10**9, first=600.0).longest_seconds == pytest.approx(6e11)


def test_what_expires_waits_no_longer_than_that() -> None:
    assert Retry(attempts=10**9, expires=3600.0).longest_seconds == 3600
    assert Retry(attempts=2, first=1.0, expires=3600.0).longest_seconds == 1
