"""What the doctor says of consumer groups and their logs."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tidemill.cli import group_check
from tidemill.cli.group_check import Standing, judge
from tidemill.config import load_settings


def standing(committed: int, *, low: int = 0, high: int = 100, partition: int = 0) -> Standing:
    return Standing("tidemill.image", "image.requested", partition, committed, low, high)


def test_without_any_group_there_is_nothing_to_check() -> None:
    assert judge([]).ok is None


def test_groups_whose_logs_hold_what_they_read_next_are_well_and_their_lag_is_told() -> None:
    finding = judge([standing(90), standing(40, low=40, partition=1), standing(100, low=100, partition=2)])
    assert finding.ok is True
    assert finding.found == "1 group, 70 events behind"
    assert judge([standing(100)]).found == "1 group, nothing left to do"


def test_what_was_deleted_unread_is_told_with_its_offsets_and_a_next_step() -> None:
    finding = judge([standing(10, low=1030, high=1100), standing(100, partition=1)])
    assert finding.ok is False
    assert finding.found == (
        "tidemill.image: 1,020 events of image.requested [0] were deleted unread (offsets 10 to 1029)"
    )
    assert "retention" in (finding.next_step or "")


def test_a_log_that_ends_before_what_was_read_is_told() -> None:
    finding = judge([standing(500)])
    assert finding.ok is False
    assert finding.found == "tidemill.image has read image.requested [0] up to 500, but its log ends at 100"


def test_of_many_faults_some_are_shown_and_the_others_counted() -> None:
    finding = judge([standing(1, low=5, partition=number) for number in range(7)])
    assert finding.found.count("deleted unread") == 3
    assert finding.found.endswith("and 4 more")


class MovingCoordinator:
    """A consumer whose group's coordinator is elected while it asks."""

    asked = 0

    def __init__(self, config: dict[str, object]) -> None:
        self.config = config
        self.is_closed = False

    def committed(self, parts: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        type(self).asked += 1
        if type(self).asked < 3:
            raise KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))
        return [TopicPartition(part.topic, part.partition, 7) for part in parts]

    def close(self) -> None:
        self.is_closed = True


def test_a_group_whose_coordinator_moves_is_asked_again_and_never_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_check, "Consumer", MovingCoordinator)
    monkeypatch.setattr(MovingCoordinator, "asked", 0)
    (found,) = group_check._committed(load_settings(), "tidemill.image", [TopicPartition("image.requested", 3)])
    assert (found.topic, found.partition, found.offset) == ("image.requested", 3, 7)
    assert MovingCoordinator.asked == 3
