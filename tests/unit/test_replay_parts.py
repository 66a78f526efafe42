"""What a replay is made of, part by part: times as people say them, pace, reading ahead, counts."""

from __future__ import annotations

import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tidemill.errors import ConfigError
from tidemill.replay.ahead import ahead
from tidemill.replay.condition import Condition
from tidemill.replay.moments import Bound, bound
from tidemill.replay.pace import Pace, parse_speed
from tidemill.replay.query import make_query
from tidemill.replay.tally import MOST_KEPT, Quarantined, Tally

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, Bound()),
        ("beginning", Bound()),
        ("now", Bound(NOW_MS)),
        ("2h", Bound(NOW_MS - 7_200_000)),
        ("1.5d ago", Bound(NOW_MS - 129_600_000)),
        ("500ms", Bound(NOW_MS - 500)),
        (timedelta(minutes=3), Bound(NOW_MS - 180_000)),
        ("2026-11-30T11:00:00Z", Bound(NOW_MS - 3_600_000)),
        ("2026-11-30 13:00+02:00", Bound(NOW_MS - 3_600_000)),
        (NOW, Bound(NOW_MS)),
        ({0: 5}, Bound(offsets={0: 5})),
        ("0:5,12:7", Bound(offsets={0: 5, 12: 7})),
    ],
)
def test_a_start_is_what_people_mean(said: Any, expected: Bound) -> None:
    assert bound(said, NOW, is_start=True) == expected


@pytest.mark.parametrize(
    "said",
    [
        "end",
        "",
        "2 fortnights",
        "-2h",
        "9" * 400 + "w",
        "0:5,",
        "1e9h",
        "2026-13-01",
        {0: -1},
        {"0": 1},
        7,
        b"2h",
        "\0",
    ],
)
def test_a_start_that_means_nothing_is_refused_with_what_it_could_be(said: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        bound(said, NOW, is_start=True)
    assert raised.value.hint


def query(**asked: Any) -> Any:
    return make_query("topic", **{"slack": timedelta(0), **asked})


@pytest.mark.parametrize(
    "asked",
    [
        {"on_error": "ignore"},
        {"slack": timedelta(seconds=-1)},
        {"start": NOW, "end": NOW - timedelta(seconds=1)},
        {"keys": [7]},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        query(**asked)
    assert raised.value.hint


def test_pace_is_exact_to_the_microsecond_over_many_events() -> None:
    pace, now = Pace(None, 1_000.0), 100.0
    for number in range(100_000):
        due = pace.due(0, now)
        assert abs(due - (100.0 + number / 1_000)) < 1e-6
        now = max(now, due)


def test_a_speed_follows_the_timestamps_and_what_is_late_is_due_at_once() -> None:
    pace = Pace(10.0, None)
    assert pace.due(5_000, 100.0) == 100.0
    assert pace.due(6_000, 100.0) == 100.1
    assert pace.due(5_500, 100.1) == 100.1
    assert pace.due(15_000, 100.1) == 101.0
    assert pace.due(15_000, 180.0) == 180.0


def test_after_a_stop_a_rate_goes_on_without_a_burst() -> None:
    pace, now = Pace(None, 100.0), 0.0
    for _ in range(100):
        now = max(now, pace.due(0, now))
    now += 3_600
    at_once = 0
    while (due := pace.due(0, now)) <= now:
        at_once += 1
        assert at_once < 110
    assert due > now


@pytest.mark.parametrize(("text", "speed"), [("1x", 1.0), ("0.5x", 0.5), ("10", 10.0), ("max", None)])
def test_speeds(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0x", "", "x", "-1x", "fast", "1e3x", "nan"])
def test_no_speeds(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_speed(text)
    with pytest.raises(ConfigError):
        Pace(None, float("nan"))


def test_what_is_read_ahead_is_bounded_and_its_thread_ends_with_the_reader() -> None:
    given, closed = [], threading.Event()

    def source() -> Generator[int, None, None]:
        try:
            for number in range(1_000_000):
                given.append(number)
                yield number
        finally:
            closed.set()

    items = ahead(source(), depth=3, name="tidemill-test-ahead")
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert closed.is_set()
    assert len(given) <= 5 + 3 + 1
    assert not [each for each in threading.enumerate() if each.name == "tidemill-test-ahead"]


def test_a_failure_comes_where_the_next_item_would_have_been() -> None:
    def source() -> Generator[int, None, None]:
        yield 1
        raise LookupError("broken")

    items = ahead(source(), depth=3, name="tidemill-test-ahead")
    assert next(items) == 1
    with pytest.raises(LookupError, match="broken"):
        next(items)


def test_garbage_is_kept_up_to_a_number_and_a_size() -> None:
    def garbage(size: int) -> Quarantined:
        return Quarantined("topic", 0, 0, 0, "why", None, bytes(size))

    many, large = Tally(), Tally()
    for _ in range(3):
        many.add(Tally(garbage=5_000, quarantined=[garbage(1)] * 5_000))
        large.add(Tally(garbage=30, quarantined=[garbage(1_000_000)] * 30))
    assert (many.garbage, len(many.quarantined)) == (15_000, MOST_KEPT)
    assert (large.garbage, len(large.quarantined)) == (90, 64)


@pytest.mark.parametrize("where", ["number > ", "nothing = 1", "sum(number) > 1", "number", ";", ""])
def test_a_condition_that_can_not_be_used_is_told_with_the_columns(where: str) -> None:
    batch = pa.RecordBatch.from_pydict({"number": [1, 2]})
    with pytest.raises(ConfigError):
        Condition(where).rows(batch)


def test_a_condition_reads_no_files() -> None:
    batch = pa.RecordBatch.from_pydict({"number": [1, 2]})
    with pytest.raises(ConfigError, match="can't be used"):
        Condition("number in (select 1 from read_csv('/etc/passwd'))").rows(batch)
    assert Condition("number = 2").rows(batch) == [1]
