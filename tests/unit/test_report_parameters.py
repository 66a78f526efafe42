"""Parameters of reports: what texts mean, what is refused, and that relative dates count from the event."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.report.definition import Parameter
from streams.report.parameters import as_text, parse, resolve
from streams.report.relative_dates import relative_date, relative_moment
from tidemill.errors import Reject

AT = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("today", date(2026, 3, 31)),
        ("yesterday", date(2026, 3, 30)),
        ("tomorrow", date(2026, 4, 1)),
        ("start-of-week", date(2026, 3, 30)),
        ("start-of-month - 1 day", date(2026, 2, 28)),
        ("start-of-month - 12 months", date(2025, 3, 1)),
        ("today - 1 month", date(2026, 2, 28)),
        ("start-of-quarter", date(2026, 1, 1)),
        ("start-of-year - 1 year + 2 weeks", date(2025, 1, 15)),
    ],
)
def test_a_day_in_words_counts_from_the_moment_of_the_event(words: str, day: date) -> None:
    assert relative_date(words, AT, UTC_ZONE) == day


def test_today_is_the_day_where_the_report_lives() -> None:
    assert relative_date("today", AT, BERLIN) == date(2026, 4, 1)
    assert relative_moment("today", AT, BERLIN) == datetime(2026, 3, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize("words", ["", "next week", "today - 1 fortnight", "today -", "2026-11-24", "now"])
def test_other_words_are_no_day(words: str) -> None:
    assert relative_date(words, AT, UTC_ZONE) is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "-12", -12),
        ("decimal", "0.10", Decimal("0.10")),
        ("bool", "yes", True),
        ("bool", "false", False),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("datetime", "2026-11-24T08:30:00+02:00", datetime(2026, 11, 24, 6, 30, tzinfo=UTC)),
        ("datetime", "now - 2 hours", datetime(2026, 3, 31, 21, 30, tzinfo=UTC)),
        ("text", "'; DROP TABLE goods; --", "'; DROP TABLE goods; --"),
    ],
)
def test_a_text_becomes_a_value_and_the_same_text_again(kind: Any, text: str, value: object) -> None:
    parameter = Parameter(type=kind)
    found = parse(parameter, text, AT, UTC_ZONE)
    assert found == value
    assert parse(parameter, as_text(found), AT, UTC_ZONE) == value


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("int", "12.5", "expected a whole number"),
        ("int", "9" * 400, "expected a whole number"),
        ("int", "١٢", "expected a whole number"),
        ("decimal", "NaN", "expected a number"),
        ("decimal", "1e999999", "expected a number"),
        ("bool", "maybe", "expected true or false"),
        ("date", "2026-02-30", "expected a date"),
        ("datetime", "soon", "expected a moment"),
        ("text", "a\x00b", "control character"),
        ("text", "x" * 201, "expected at most 200"),
    ],
)
def test_a_text_that_is_no_value_says_what_was_expected(kind: Any, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(Parameter(type=kind), text, AT, UTC_ZONE)


def test_all_faults_of_a_request_come_in_one_message() -> None:
    declared = {
        "day": Parameter(type="date"),
        "top": Parameter(type="int", default="10", min="1", max="50"),
        "region": Parameter(type="text", choices=("north", "south")),
        "note": Parameter(type="text", optional=True),
    }
    with pytest.raises(Reject) as caught:
        resolve(declared, {"top": "51", "region": "moon", "colour": "red"}, AT, UTC_ZONE)
    for said in (
        "no parameter 'colour'",
        "'day' is missing",
        "'top' is '51', expected at most 50",
        "'moon', expected one of north, south",
    ):
        assert said in str(caught.value)


def test_what_is_left_out_has_its_default_and_what_is_optional_has_no_value() -> None:
    declared = {"day": Parameter(type="date", default="yesterday"), "note": Parameter(type="text", optional=True)}
    assert resolve(declared, {}, AT, UTC_ZONE) == {"day": date(2026, 3, 30), "note": None}


def test_a_date_beyond_the_calendar_is_a_fault_and_no_crash() -> None:
    with pytest.raises(Reject, match="outside the calendar"):
        resolve({"day": Parameter(type="date")}, {"day": "today - 99999 years"}, AT, UTC_ZONE)
