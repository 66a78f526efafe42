"""The clock check: how far apart two clocks are for certain, when one of them tells whole seconds only."""

from __future__ import annotations

import pytest

from tidemill.cli.clock import difference_seconds

DATE = "Tue, 24 Nov 2026 08:26:10 GMT"
THEN = 1795508770.0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (THEN + 0.2, THEN + 0.3, 0.0),
        (THEN + 0.99, THEN + 3.0, 0.0),
        (THEN - 2.0, THEN + 0.1, 0.0),
        (THEN + 61.0, THEN + 61.1, 60.0),
        (THEN - 30.1, THEN - 30.0, -30.0),
    ],
)
def test_clocks_that_may_agree_are_taken_to_agree(before: float, after: float, expected: float) -> None:
    assert difference_seconds(DATE, before, after) == pytest.approx(expected)


def test_what_is_no_date_tells_nothing() -> None:
    assert difference_seconds("soon", THEN, THEN) is None
