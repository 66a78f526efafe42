"""The event of a run: typed values where the contract has them, the key, and errors that name the field."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.cron import Cron
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.payload import Rendered, render
from scheduler.jobs.schedule import Schedule
from tests.generated_events import event_class
from tidemill.contracts.catalogue import Catalogue
from tidemill.errors import ContractError, InvalidEvent, UnknownEventType

PARIS = ZoneInfo("Europe/Paris")
SEVEN = datetime(2026, 11, 24, 7, tzinfo=PARIS)
FIELDS: list[dict[str, Any]] = [
    {"name": "name", "type": "string"},
    {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
    {"name": "clock", "type": ["null", {"type": "int", "logicalType": "time-millis"}], "default": None},
    {"name": "rows", "type": "long", "default": 0},
    {"name": "share", "type": "double", "default": 0.0},
    {
        "name": "price",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}],
        "default": None,
    },
    {"name": "by_hand", "type": "boolean", "default": False},
    {"name": "days", "type": {"type": "array", "items": "string"}, "default": []},
]


@pytest.fixture(scope="module")
def thing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return event_class(Path(tmp_path_factory.mktemp("events")), FIELDS, key="name")


def rendered(thing: Any, payload: dict[str, Any], *, scheduled_at: datetime = SEVEN, **more: Any) -> Rendered:
    emit = {name: more.pop(name) for name in ("key", "subject") if name in more}
    job = Job(
        name="daily-report",
        schedule=Schedule(Cron("0 7 * * *", PARIS), PARIS),
        emit=Emit(type="thing.seen", payload=payload, **emit),
    )
    found = render(job, scheduled_at, Catalogue([thing]), **{"sequence": 41, **more})
    assert found is not None
    return found


def test_values_are_of_the_contracts_types(thing: Any) -> None:
    payload = {
        "name": "{{ job }}",
        "day": "{{ interval_start.date() }}",
        "at": "{{ interval_end }}",
        "clock": "{{ scheduled_at.time() }}",
        "rows": "{{ sequence }}",
        "share": "{{ sequence / 2 }}",
        "price": "12.50",
        "by_hand": "{{ manual }}",
        "days": ["{{ interval_start.date() }}", "{{ interval_start.strftime('%A') }}"],
    }
    assert rendered(thing, payload, manual=True).event == thing(
        name="daily-report",
        day=date(2026, 11, 23),
        at=datetime(2026, 11, 24, 6, tzinfo=UTC),
        clock=time(7),
        rows=41,
        share=20.5,
        price=Decimal("12.50"),
        by_hand=True,
        days=["2026-11-23", "Monday"],
    )


def test_a_time_in_a_text_field_is_iso_8601(thing: Any) -> None:
    assert rendered(thing, {"name": "{{ scheduled_at }}"}).event == thing(name="2026-11-24T07:00:00+01:00")


def test_times_are_in_the_jobs_zone_also_where_it_is_another_day_in_utc(thing: Any) -> None:
    job = Job(
        name="late",
        schedule=Schedule(Cron("30 0 * * *", PARIS), PARIS),
        emit=Emit(type="thing.seen", payload={"name": "{{ scheduled_at.date() }}"}),
    )
    found = render(job, datetime(2026, 7, 9, 22, 30, tzinfo=UTC), Catalogue([thing]), sequence=1)
    assert found is not None
    assert found.event == thing(name="2026-07-10")


def test_the_key_is_the_contracts_field_unless_the_job_names_one(thing: Any) -> None:
    assert rendered(thing, {"name": "a"}).key == "a"
    assert rendered(thing, {"name": "a"}, key="{{ sequence }}").key == "41"
    assert rendered(thing, {"name": "a"}, key="{{ none }}").key is None


def test_the_subject_is_worked_out_as_well(thing: Any) -> None:
    assert rendered(thing, {"name": "a"}).subject is None
    assert rendered(thing, {"name": "a"}, subject="{{ job }}/{{ missed }}", missed=3).subject == "daily-report/3"


def test_a_run_by_hand_stands_for_the_time_since_the_last_one(thing: Any) -> None:
    payload = {"name": "{{ manual | string }}", "at": "{{ interval_start }}"}
    found = rendered(thing, payload, scheduled_at=SEVEN + timedelta(hours=3), manual=True)
    assert found.event == thing(name="True", at=SEVEN.astimezone(UTC))


def test_the_same_run_gives_the_same_event(thing: Any) -> None:
    payload = {"name": "{{ job }}-{{ sequence }}", "day": "{{ interval_start.date() }}"}
    assert rendered(thing, payload) == rendered(thing, payload, scheduled_at=SEVEN.astimezone(UTC))


def test_a_job_without_an_event_only_ticks(thing: Any) -> None:
    job = Job(name="ticks", schedule=Schedule(Cron("0 7 * * *", PARIS), PARIS))
    assert render(job, SEVEN, Catalogue([thing]), sequence=1) is None


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ({"name": "{{ sequence }}"}, "field 'name' must be text, found 41 (int)"),
        ({"name": "a", "rows": "many {{ sequence }}"}, "field 'rows' must be a whole number of 64 bits"),
        ({"name": "a", "day": "{{ interval_start }}"}, "field 'day' must be a date such as"),
        ({"name": "a", "days": ["a", "{{ none }}"]}, r"field 'days[1]' must be text, found None"),
        ({"name": "a", "at": "{{ interval_end - interval_start }}"}, "field 'at' must be a date and time with a zone"),
    ],
)
def test_what_doesnt_fit_the_contract_names_the_field(thing: Any, payload: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        rendered(thing, payload)
    assert complaint in str(caught.value)


def test_a_missing_field_and_an_unknown_type_are_errors(thing: Any) -> None:
    with pytest.raises(ContractError, match="field 'name' is missing"):
        rendered(thing, {})
    job = Job(name="a", schedule=Schedule(Cron("0 7 * * *", PARIS), PARIS), emit=Emit(type="thing.sen"))
    with pytest.raises(UnknownEventType, match=r"Did you mean 'thing.seen'\?"):
        render(job, SEVEN, Catalogue([thing]), sequence=1)
