"""How often and when a failed event is tried again. Computes; waits for nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from tidemill.errors import RetryAfter, TidemillError


@dataclass(frozen=True)
class Retry:
    """A retry policy: exponential back-off with jitter.

    Args:
        attempts: Tries in all, the first one included; 1 means never again.
        first: Seconds before the second try.
        most: Seconds between two tries at most.
        factor: What the wait is multiplied with from try to try.
        jitter: Share of each wait that is random, 0 to 1: with 0.5 a wait of 8 s is anything from 4 s to 8 s, so that
            events that failed together don't come back together.
        never: Exceptions that are never tried again, besides `Reject` and errors that say so by `retriable = False`.
        expires: Seconds after which an event isn't tried again, whatever is left of `attempts`; None for no such limit.
            They count from the event's timestamp in Kafka, so they are the same whoever has it and however often it
            moves; a first try there always is.
        in_place: With `order="none"`: longest wait in seconds that the worker itself sits out; longer ones go around
            by `schedule.delayed`. With `order="key"` an event always waits where it is.
    """

    attempts: int = 5
    first: float = 1.0
    most: float = 600.0
    factor: float = 2.0
    jitter: float = 0.5
    never: tuple[type[Exception], ...] = ()
    expires: float | None = None
    in_place: float = 5.0

    def __post_init__(self) -> None:
        # `not a <= b` rather than `a > b` where it decides about NaN, which compares false with everything.
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise ValueError(f"attempts must be a whole number, at least 1, found {self.attempts!r}")
        if not 0 <= self.first <= self.most or math.isinf(self.most):
            raise ValueError(f"expected 0 <= first <= most, in seconds, found first={self.first}, most={self.most}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1, found {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, found {self.jitter}")
        if not isinstance(self.never, tuple) or not all(_is_exception(cls) for cls in self.never):
            raise ValueError(f"never must be a tuple of exception classes, found {self.never!r}")
        if self.expires is not None and not 0 < self.expires < math.inf:
            raise ValueError(f"expires must be more than 0 seconds, or None, found {self.expires!r}")
        if not 0 <= self.in_place < math.inf:
            raise ValueError(f"in_place must be a number of seconds, at least 0, found {self.in_place!r}")

    @property
    def longest_seconds(self) -> float:
        """Seconds that an event may spend waiting in all, as long as no handler raises `RetryAfter`."""
        total = self._total_seconds(self.attempts - 1)
        return total if self.expires is None else min(total, self.expires)

    def _total_seconds(self, waits: int) -> float:
        if not self.first or not waits:
            return 0.0
        if self.factor == 1:
            return self.first * waits
        growing = min(waits, math.ceil((math.log(self.most) - math.log(self.first)) / math.log(self.factor)))
        try:
            grown = self.first * (self.factor**growing - 1) / (self.factor - 1)
        except OverflowError:
            grown = self.most * growing
        return grown + self.most * (waits - growing)

    def delay_seconds(self, attempt: int, random: Random) -> float:
        """Seconds to wait after so many failed tries.

        Args:
            attempt: The try that failed, from 1.
            random: Source of the jitter.
        """
        try:
            wait = min(self.most, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            wait = self.most if self.first else 0.0
        return wait * (1 - self.jitter * random.random())

    def wait_seconds(
        self, error: BaseException, attempt: int, age_seconds: float, random: Random, most_seconds: float = math.inf
    ) -> float | None:
        """Seconds until the next try of an event whose try failed; None where there is none.

        Args:
            error: What the try failed with; a `RetryAfter` says itself how long.
            attempt: The try that failed, from 1.
            age_seconds: How old the event is; counts for `expires` only.
            random: Source of the jitter.
            most_seconds: What a `RetryAfter` is shortened to.
        """
        if not self.may_retry(error, attempt):
            return None
        if isinstance(error, RetryAfter):
            wait = min(error.seconds, most_seconds)
        else:
            wait = self.delay_seconds(attempt, random)
        return None if self.expires is not None and age_seconds + wait > self.expires else wait

    def may_retry(self, error: BaseException, attempt: int) -> bool:
        """Whether an event whose try so-and-so failed with this error is tried again."""
        if attempt >= self.attempts or isinstance(error, self.never):
            return False
        return error.retriable if isinstance(error, TidemillError) else True


def _is_exception(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Exception)
