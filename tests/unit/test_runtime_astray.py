"""Where a partition goes on whose log doesn't hold the offset that is to be read next."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException
from structlog.testing import capture_logs

from tidemill.errors import ConfigError
from tidemill.runtime.astray import Astray, Jump, first_start, jump
from tidemill.runtime.partition import Partition

KEY = ("step.asked", 3)


class Watermarks:
    """A consumer whose broker says this; None while it is away."""

    def __init__(self, low: int, high: int) -> None:
        self.says: tuple[int, int] | None = (low, high)
        self.asked = 0

    def get_watermark_offsets(self, partition: Any, *, timeout: float) -> tuple[int, int]:
        self.asked += 1
        if self.says is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return self.says


def astray(consumer: Any) -> Astray:
    return Astray(consumer, OFFSET_BEGINNING, "steps")


@pytest.mark.parametrize(
    ("setting", "start"), [("earliest", OFFSET_BEGINNING), ("smallest", OFFSET_BEGINNING), ("latest", OFFSET_END)]
)
def test_the_setting_says_where_a_new_group_begins(setting: str, start: int) -> None:
    assert first_start(setting) == start


def test_any_other_setting_is_refused_with_what_would_do() -> None:
    with pytest.raises(ConfigError, match="expected 'earliest' or 'latest'"):
        first_start("error")


def test_what_was_never_read_begins_where_the_setting_says_and_nothing_is_missing() -> None:
    assert jump(-1001, 50, OFFSET_END) == Jump(-1001, OFFSET_END)


def test_behind_what_was_deleted_it_goes_on_at_the_first_event_that_is_left() -> None:
    assert jump(20, 50, OFFSET_END) == Jump(20, 50, is_deleted=True)


@pytest.mark.parametrize("asked", [50, 70, 1000])
def test_a_log_that_is_cut_short_is_read_from_its_beginning(asked: int) -> None:
    assert jump(asked, 50, OFFSET_END) == Jump(asked, 50, is_shorter=True)


def test_the_alarm_tells_what_was_deleted_and_the_partition_goes_on_behind_it() -> None:
    part = Partition("step.asked", 3, ordered=True, finished=[range(25, 30), range(48, 60)])
    consumer = Watermarks(50, 90)
    lost = astray(consumer)
    lost.add(KEY, 20)
    with capture_logs() as log:
        lost.pass_over(part, lost.ways()[KEY])
    (told,) = log
    assert (told["log_level"], told["event"]) == ("error", "events were deleted before they were read")
    assert (told["topic"], told["partition"], told["from_offset"], told["to_offset"]) == ("step.asked", 3, 20, 50)
    # Of the 30, an earlier owner had finished 5 and 2.
    assert told["events_at_most"] == 23
    assert "retention" in told["hint"]
    progress = part.progress()
    assert progress is not None
    assert progress.offset == 50
    assert lost.ways() == {}


def test_the_alarm_of_a_shorter_log_tells_how_far_it_was_read_and_what_there_is() -> None:
    lost = astray(Watermarks(0, 90))
    lost.add(KEY, 200)
    with capture_logs() as log:
        assert lost.ways() == {KEY: Jump(200, 0, is_shorter=True)}
    (told,) = log
    assert told["log_level"] == "error"
    assert (told["read_up_to"], told["log_begins"], told["log_ends"]) == (200, 0, 90)


def test_while_the_broker_is_away_it_is_asked_again_but_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("tidemill.runtime.astray.time.monotonic", lambda: now)
    consumer = Watermarks(50, 90)
    consumer.says = None
    lost = astray(consumer)
    lost.add(KEY, 20)
    for _ in range(10):
        assert lost.ways() == {}
    assert consumer.asked == 1
    consumer.says = (50, 90)
    now += 1.1
    assert lost.ways() == {KEY: Jump(20, 50, is_deleted=True)}


def test_a_partition_that_went_elsewhere_is_not_asked_for() -> None:
    consumer = Watermarks(50, 90)
    lost = astray(consumer)
    lost.add(KEY, 20)
    lost.drop([KEY])
    assert lost.ways() == {}
    assert consumer.asked == 0
