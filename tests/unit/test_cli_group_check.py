"""What the doctor says of consumer groups and their logs."""

from __future__ import annotations

from tidemill.cli.group_check import Standing, judge


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
