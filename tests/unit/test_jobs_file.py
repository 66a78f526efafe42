"""jobs.toml: what it may say, and that all that is wrong in it is told at once, with the line."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.at import At
from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.faults import JobsError
from scheduler.jobs.file import parse_jobs, read_jobs
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from tests.generated_events import event_class
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.errors import ConfigError

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    fields: list[dict[str, Any]] = [
        {"name": "name", "type": "string"},
        {"name": "rows", "type": "long", "default": 0},
        {"name": "share", "type": "double", "default": 0.0},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
    ]
    return Catalogue([event_class(Path(tmp_path_factory.mktemp("events")), fields, key="name")])


def one_taker(event_type: str) -> Sequence[str]:
    return ["things"] if event_type == "thing.seen" else []


def read(text: str, catalogue: Catalogue) -> list[Job]:
    return parse_jobs(text, catalogue, NOW, takers=one_taker)


def faults(text: str, catalogue: Catalogue) -> list[str]:
    with pytest.raises(JobsError) as caught:
        read(text, catalogue)
    return [str(fault) for fault in caught.value.faults]


def job(body: str) -> str:
    return f'[[job]]\nname = "a"\n{body}\n'


def test_every_key_is_read(catalogue: Catalogue) -> None:
    text = """
[[job]]
name = "daily-report"
cron = "0 7 * * MON-FRI"
timezone = "Europe/Paris"
jitter = "30s"
starts = 2026-12-01T00:00:00Z
ends = 2027-12-01
enabled = false
missed = "all"
missed_limit = 50
grace = "5m"
overlap = "skip"
stream = "report"
[job.emit]
type = "thing.seen"
key = "{{ job }}"
subject = "s"
payload = { name = "sales", day = 2026-12-24, rows = "{{ sequence }}" }
"""
    bounds = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 12, 1, tzinfo=PARIS)
    assert read(text, catalogue) == [
        Job(
            name="daily-report",
            schedule=Schedule(Cron("0 7 * * MON-FRI", PARIS), PARIS, *bounds),
            jitter=timedelta(seconds=30),
            enabled=False,
            missed="all",
            missed_limit=50,
            grace=timedelta(minutes=5),
            overlap="skip",
            stream="report",
            emit=Emit(
                type="thing.seen",
                key="{{ job }}",
                subject="s",
                payload={"name": "sales", "day": "2026-12-24", "rows": "{{ sequence }}"},
            ),
        )
    ]


def test_the_defaults_are_those_of_the_document(catalogue: Catalogue) -> None:
    (found,) = read(job('every = "90s"'), catalogue)
    assert found == Job(name="a", schedule=Schedule(Every(timedelta(seconds=90)), UTC_ZONE))
    assert (found.missed, found.missed_limit, found.grace, found.overlap) == (
        "latest",
        1000,
        timedelta(minutes=1),
        "allow",
    )


def test_a_period_counts_from_its_start(catalogue: Catalogue) -> None:
    (found,) = read(job('every = "1h"\nstarts = "2026-01-01T00:07:00+01:00"'), catalogue)
    assert found.schedule.after(NOW) == datetime(2026, 11, 24, 11, 7, tzinfo=UTC)


def test_times_without_an_offset_are_meant_in_the_jobs_zone(catalogue: Catalogue) -> None:
    text = (
        'timezone = "Europe/Paris"\nat = ["2026-12-24T18:00:00", 2027-07-01T00:00:00Z, 2026-12-24T18:00:00, 2027-01-01]'
    )
    (found,) = read(job(text), catalogue)
    expected = At(
        (
            datetime(2026, 12, 24, 17, tzinfo=UTC),
            datetime(2026, 12, 31, 23, tzinfo=UTC),
            datetime(2027, 7, 1, tzinfo=UTC),
        )
    )
    assert found.schedule.pattern == expected


def test_a_repeated_hour_means_its_first(catalogue: Catalogue) -> None:
    (found,) = read(job('timezone = "Europe/Paris"\nat = ["2026-10-25T02:30:00"]'), catalogue)
    assert found.schedule.after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_stream_that_is_waited_for_is_found_where_only_one_takes_the_event(catalogue: Catalogue) -> None:
    text = job('every = "1m"\noverlap = "skip"\nemit = { type = "thing.seen", payload.name = "x" }')
    assert read(text, catalogue)[0].stream == "things"
    with pytest.raises(JobsError, match=r"several installed streams take thing\.seen: one, two"):
        parse_jobs(text, catalogue, NOW, takers=lambda _: ["one", "two"])
    with pytest.raises(JobsError, match=r"no installed stream is known to take thing\.seen"):
        parse_jobs(text, catalogue, NOW, takers=lambda _: [])


def test_a_job_whose_times_have_passed_is_in_order(catalogue: Catalogue) -> None:
    past = job('at = [2020-01-01T00:00:00Z]\nemit = { type = "thing.seen", payload.name = "{{ scheduled_at.year }}" }')
    assert faults(past, catalogue) == [
        "4: job \"a\": thing.seen: field 'name' must be text, found 2020 (int).",
    ]
    assert len(read(job('every = "1h"\nends = 2020-01-01T00:00:00Z'), catalogue)) == 1


def test_no_jobs_are_in_order(catalogue: Catalogue) -> None:
    assert read("", catalogue) == []
    assert read("# none yet\n", catalogue) == []


def test_all_faults_are_told_at_once_with_their_lines(catalogue: Catalogue) -> None:
    text = '''\
tile = 3
[[job]]
name = "daily-report"
cron = "0 25 * * *"
timezone = "Europe/Pari"
[job.emit]
type = "thing.sen"

[[job]]
name = "sweep"
every = "5x"
missed = "newest"
emit.type = "thing.seen"
emit.payload = { name = "{{ jb }}", nme = 1 }

[[job]]
name = "sweep"
cron = "0 0 30 2 *"
[job.emit]
type = "thing.seen"
[job.emit.payload]
name = """
two lines"""
rows = "{{ interval_start.date() }}"
share = "x"
'''
    assert faults(text, catalogue) == [
        '1: there is no key "tile".',
        '4: job "daily-report": cron "0 25 * * *": hour \'25\' isn\'t understood; expected 0-23, or lists (1,15), '
        "ranges (1-5) and steps (*/10) of them.",
        '5: job "daily-report": timezone "Europe/Pari" isn\'t known.',
        '7: job "daily-report": no installed contract has the event type "thing.sen".',
        '11: job "sweep": every is "5x", expected a whole number of at least 1 and a unit, as in 90s, 15m, 6h or 7d.',
        '12: job "sweep": missed is "newest", expected "latest", "skip" or "all".',
        '14: job "sweep": thing.seen has no field "nme".',
        "14: job \"sweep\": emit.payload.name: '{{ jb }}': there is no 'jb'.",
        '17: job "sweep": the name is used twice, first on line 10.',
        '18: job "sweep": cron "0 0 30 2 *": no month that it names has such a day, so it never matches.',
        "24: job \"sweep\": thing.seen: field 'rows' must be a whole number of 64 bits, found '2026-11-24' (str).",
        "25: job \"sweep\": thing.seen: field 'share' must be a number, found 'x' (str).",
    ]


def test_the_message_names_the_file_and_what_to_do(catalogue: Catalogue) -> None:
    with pytest.raises(JobsError) as caught:
        parse_jobs(job('evry = "1m"'), catalogue, NOW, origin="my.toml")
    assert str(caught.value) == (
        "2 faults in my.toml:\n"
        '  my.toml:1: job "a": it has none of cron, every and at, expected exactly one.\n'
        '  my.toml:3: job "a": there is no key "evry". Did you mean \'every\'?'
    )
    with pytest.raises(JobsError) as caught:
        parse_jobs(job('every = "1m"\ngrce = "1m"'), catalogue, NOW)
    assert str(caught.value) == 'jobs.toml:4: job "a": there is no key "grce". Did you mean \'grace\'?'


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('every = "1m"\ncron = "* * * * *"', '4: job "a": it has every and cron, expected exactly one.'),
        ("cron = 7", '3: job "a": cron is 7, expected text such as "0 7 * * MON-FRI".'),
        ('cron = "* * *"', '3: job "a": cron "* * *": it has 3 fields; expected five'),
        ("every = 5", '3: job "a": every is 5, expected a whole number of at least 1 and a unit'),
        ('every = "0s"', 'every is "0s", expected'),
        ('every = "forever"', 'every is "forever", expected'),
        ('every = "1.5h"', 'every is "1.5h", expected'),
        ("at = []", '3: job "a": at has 0 times, expected 1 to 10,000.'),
        ('at = "2026-01-01"', 'at is "2026-01-01", expected a list of dates and times.'),
        ("at = [\n  2026-01-01T00:00:00Z,\n  7]", '5: job "a": at 7 isn\'t a date and time, such as'),
        ('at = ["soon"]', 'at "soon" isn\'t a date and time'),
        ("at = [10:00:00]", "at 10:00:00 isn't a date and time"),
        ("at = [1850-01-01T00:00:00Z]", "lies outside the years 1970 to 2199"),
        (
            'timezone = "Europe/Paris"\nat = ["2026-03-29T02:30:00"]',
            '4: job "a": at "2026-03-29T02:30:00" doesn\'t exist in Europe/Paris: clocks go forward over it.',
        ),
        ('every = "1m"\ntimezone = "Europe"', 'timezone "Europe" isn\'t known.'),
        ('every = "1m"\ntimezone = "../../etc/passwd"', 'timezone "../../etc/passwd" isn\'t known.'),
        ('every = "1m"\ntimezone = ""', 'timezone "" isn\'t known.'),
        ('every = "1m"\ntimezone = 1', "timezone is 1, expected the name of a time zone"),
        ('every = "1m"\njitter = "1m"', '4: job "a": jitter 1m isn\'t shorter than the 1m between two runs.'),
        ('cron = "0,5 7 1 1 *"\njitter = "6m"', "jitter 6m isn't shorter than the 5m between two runs."),
        ('cron = "0 0 * * *"\njitter = "1d"', "jitter 1d isn't shorter than the 1d between two runs."),
        ("at = [2027-01-01T00:00:00Z, 2027-01-01T00:00:09Z]\njitter = '9s'", "jitter 9s isn't shorter than the 9s"),
        (
            'every = "1m"\nstarts = 2027-01-01T00:00:00Z\nends = 2026-01-01T00:00:00Z',
            '5: job "a": it never runs: ends, 2026-01-01 00:00:00 UTC, lies before starts.',
        ),
        (
            'cron = "0 0 29 2 *"\nstarts = 2025-01-01T00:00:00Z\nends = 2027-01-01T00:00:00Z',
            '3: job "a": it never runs: none of its times lies between starts and ends.',
        ),
        ("at = [2027-01-01]\nends = 2026-01-01", "it never runs"),
        ('every = "1m"\nenabled = "yes"', 'enabled is "yes", expected true or false.'),
        ('every = "1m"\nmissed = true', "missed is true, expected"),
        ('every = "1m"\nmissed_limit = 0', "missed_limit is 0, expected a whole number from 1 to 10,000."),
        ('every = "1m"\nmissed_limit = true', "missed_limit is true, expected a whole number"),
        ('every = "1m"\noverlap = "skip"', 'overlap = "skip", but there is no event whose work could be unfinished.'),
        ('every = "1m"\nstream = "x"', '4: job "a": stream does nothing without overlap = "skip".'),
        ('every = "1m"\noverlap = "skip"\nstream = "No!"', 'stream "No!" isn\'t the name of a stream.'),
        ('every = "1m"\nemit = 1', '4: job "a": emit is 1, expected a table.'),
        ('every = "1m"\n[job.emit]\n', '4: job "a": emit has no type.'),
        ('every = "1m"\n[job.emit]\ntype = 1', '5: job "a": type is 1, expected text.'),
        ('every = "1m"\n[job.emit]\ntype = "thing.seen"\npayload = []', "payload is [], expected a table."),
        ('every = "1m"\n[job.emit]\ntype = "thing.seen"\nkey = 1', "key is 1, expected text."),
        ('every = "1m"\n[job.emit]\ntype = "thing.seen"\nheaders = 1', 'there is no key "headers".'),
        ('every = "1m"\n[job.emit]\ntype = "thing.seen"', "field 'name' is missing."),
        (
            'every = "1m"\n[job.emit]\ntype = "thing.seen"\npayload.name = "a"\npayload.share = nan',
            '7: job "a": payload.share is nan, which JSON can\'t hold.',
        ),
        (
            'every = "1m"\n[job.emit]\ntype = "thing.seen"\nsubject = "{{ 1/0 }}"\npayload.name = "a"',
            "6: job \"a\": emit.subject: '{{ 1/0 }}' fails: division by zero (ZeroDivisionError).",
        ),
        (
            'every = "1m"\n[job.emit]\ntype = "thing.seen"\npayload.name = "{{ job * 10**9 }}"',
            "has pow, which isn't allowed here.",
        ),
    ],
)
def test_a_fault_says_what_was_found_and_what_was_expected(body: str, fault: str, catalogue: Catalogue) -> None:
    found = faults(job(body), catalogue)
    assert len([each for each in found if fault in each]) == 1, found


@pytest.mark.parametrize("name", ["", "Report", "1st", "a b", "a.", ".a", "a..b", "x" * 65, "ä", "a\\n"])
def test_a_name_that_isnt_allowed_is_a_fault(name: str, catalogue: Catalogue) -> None:
    assert "isn't allowed" in faults(f'[[job]]\nname = "{name}"\nevery = "1m"\n', catalogue)[0]


@pytest.mark.parametrize("name", ["a", "daily-report", "a.b.c", "a_1.2-x", "x" * 64])
def test_a_name_that_is_allowed_is_none(name: str, catalogue: Catalogue) -> None:
    assert read(f'[[job]]\nname = "{name}"\nevery = "1m"\n', catalogue)[0].name == name


def test_a_job_without_a_name_is_a_fault(catalogue: Catalogue) -> None:
    assert faults('\n[[job]]\nevery = "1m"\n', catalogue) == ["2: a job has no name."]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[job]]\nname = \n", "2: it is not TOML: Invalid value at column 8."),
        ("[[job]]\nname", "2: it is not TOML: "),
        ('[[job]]\nname = "a"\nname = "b"', "3: it is not TOML: Cannot overwrite a value"),
        ('[job]\nname = "a"', "1: job isn't a list of tables."),
        ("job = 3", "1: job isn't a list of tables."),
        ("job = [1]", "1: job isn't a list of tables."),
        ("x = " + "[" * 5000 + "]" * 5000, "1: it is nested too deeply."),
        ("\n\n[jobs]", '3: there is no key "jobs".'),
    ],
)
def test_a_text_of_another_form_is_a_fault(text: str, fault: str, catalogue: Catalogue) -> None:
    (found,) = faults(text, catalogue)
    assert found.startswith(fault)


def test_a_file_of_windows_is_read(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes(
        b"\xef\xbb\xbf" + job('every = "1m"\r\ngrce = "1m"').replace("\n", "\r\n").replace("\r\r", "\r").encode()
    )
    with pytest.raises(JobsError, match=r'jobs\.toml:4: job "a": there is no key "grce"'):
        read_jobs(path, catalogue, NOW)


def test_a_file_that_cant_be_read_is_an_error_with_its_name(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml can't be read: No such file"):
        read_jobs(tmp_path / "none.toml", catalogue, NOW)
    with pytest.raises(ConfigError, match="can't be read"):
        read_jobs(tmp_path, catalogue, NOW)
    (tmp_path / "latin.toml").write_bytes(b'[[job]]\nname = "\xe9"\n')
    with pytest.raises(JobsError, match=r"latin\.toml:2: it is not UTF-8: byte 0xe9\. Save it as UTF-8\."):
        read_jobs(tmp_path / "latin.toml", catalogue, NOW)
    with (tmp_path / "large.toml").open("wb") as large:
        large.truncate(16_000_001)
    with pytest.raises(ConfigError, match="has 16,000,001 bytes, at most 16,000,000 may be"):
        read_jobs(tmp_path / "large.toml", catalogue, NOW)


def test_a_thousand_jobs_are_read_in_no_time(catalogue: Catalogue) -> None:
    text = "\n".join(
        f"""
[[job]]
name = "job-{number}"
cron = "{number % 60} {number % 24} * * MON-FRI"
timezone = "Europe/Paris"
jitter = "30s"
emit = {{ type = "thing.seen", payload = {{ name = "{{{{ job }}}}", rows = "{{{{ sequence + {number} }}}}" }} }}
"""
        for number in range(1000)
    )
    began = time.perf_counter()
    assert len(read(text, catalogue)) == 1000
    assert time.perf_counter() - began < 10


def test_the_example_is_in_order() -> None:
    jobs = read_jobs(ROOT / "examples" / "jobs.toml", installed_events(), NOW)
    assert [each.name for each in jobs] == ["thumbnail-of-yesterday", "camera.entrance", "holidays", "month-end"]


def test_the_documents_example_is_in_order_and_its_complaints_are_real() -> None:
    document = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", document, re.DOTALL)
    shown = re.search(r"```\n(\d faults in jobs.toml:.*?)```", document, re.DOTALL)
    assert example is not None
    assert shown is not None
    assert len(parse_jobs(example[1], installed_events(), NOW)) == 1
    broken = (
        example[1]
        .replace("0 7 * *", "0 25 * *")
        .replace("MON-FRI", "*")
        .replace('type = "image.requested"', 'type = "image.requestd"')
    )
    broken = (
        broken.split("[job.emit.payload]")[0].rstrip() + '\n\n[[job]]\nname = "nightly"\nevery = "30m"\njitter = "1h"\n'
    )
    with pytest.raises(JobsError) as caught:
        parse_jobs(broken, installed_events(), NOW)
    assert str(caught.value) == shown[1].rstrip("\n")
