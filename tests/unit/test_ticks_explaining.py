"""Why a job ran at a time, or didn't: the verdict and the words, from what lies in the topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.ticks import explaining
from scheduler.ticks.books import Page, Pause
from scheduler.ticks.explaining import Explanation, explain
from scheduler.ticks.plan import Skip, Tick
from tests.unit.sample_message import SampleMessage
from tests.unit.ticks_samples import BY, EVENT, at, cron, emitting, every, job, page, request, state
from tidemill.codec import Codec
from tidemill.config import load_settings
from tidemill.partitioning import partition_of
from tidemill.publisher.preparing import Outgoing
from tidemill.testing import MemorySchemas

SETTINGS = load_settings(namespace="unit.")
PARTITIONS = 6
PARIS = ZoneInfo("Europe/Paris")
NOW = at(100)


@dataclass
class Topics:
    """What lies in the topics, in memory."""

    schemas: MemorySchemas = field(default_factory=MemorySchemas)
    messages: dict[str, list[SampleMessage]] = field(default_factory=dict)
    asked: list[tuple[str, Sequence[int], int]] = field(default_factory=list)

    def add(self, outgoing: Outgoing) -> None:
        lying = self.messages.setdefault(outgoing.topic.removeprefix(SETTINGS.namespace), [])
        lying.append(
            SampleMessage(
                40 + len(lying), outgoing.key, outgoing.value, list(outgoing.headers), 2, in_topic=outgoing.topic
            )
        )

    def tick(self, scheduled_at: datetime, late: timedelta = timedelta(milliseconds=12), **changed: Any) -> None:
        """A tick that was emitted."""
        made = emitting(Codec(self.schemas)).tick(
            job(emit=EVENT), Tick(scheduled_at, 7, **changed), scheduled_at + late
        )
        self.add(made.event)

    def skip(self, skip: Skip) -> None:
        """Times that were skipped."""
        self.add(emitting(Codec(self.schemas)).skipped(job(), skip, skip.last + timedelta(seconds=1)))


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    made = Topics()

    def read_log(_: object, topic: str, partitions: Sequence[int], *, since_ms: int) -> Iterator[SampleMessage]:
        made.asked.append((topic, partitions, since_ms))
        yield from made.messages.get(topic, [])

    @contextmanager
    def registry(_: object) -> Iterator[MemorySchemas]:
        yield made.schemas

    monkeypatch.setattr(explaining, "read_log", read_log)
    monkeypatch.setattr(explaining, "partitions_of", lambda *_: PARTITIONS)
    monkeypatch.setattr(explaining, "Registry", registry)
    return made


def explained(of: Page, asked: datetime, now: datetime = NOW) -> Explanation:
    return explain(SETTINGS, of, asked, now)


def test_a_time_that_ran_is_explained_with_the_tick(topics: Topics) -> None:
    topics.tick(at(10))
    topics.tick(at(20))
    found = explained(page(job(emit=EVENT)), at(20))
    assert (found.verdict, found.text) == ("ran", f"It ran, 12 ms late; emitted by {BY}.")
    assert found.facts == {
        "tick": "sweep@2026-11-24T10:20:00Z",
        "emitted_at": at(20) + timedelta(milliseconds=12),
        "late_seconds": 0.012,
        "by": BY,
        "topic": "unit.schedule.tick",
        "partition": 2,
        "offset": 41,
        "sequence": 7,
        "missed_before": 0,
        "emits": "image.requested",
    }


def test_only_the_jobs_own_partition_is_read_and_only_from_about_that_time(topics: Topics) -> None:
    topics.tick(at(20))
    explained(page(), at(20))
    ((topic, partitions, since_ms),) = topics.asked
    assert (topic, partitions) == ("schedule.tick", [partition_of(b"sweep", PARTITIONS)])
    assert since_ms == at(10).timestamp() * 1000


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (timedelta(seconds=9.5), "9500 ms late"),
        (timedelta(seconds=45), "45.0 s late"),
        (timedelta(minutes=5), "5 min late"),
        (timedelta(hours=5), "5 h late"),
        (timedelta(days=3), "3 d late"),
    ],
)
def test_lateness_is_told_in_a_fitting_unit(topics: Topics, late: timedelta, words: str) -> None:
    topics.tick(at(20), late)
    assert explained(page(), at(20)).text == f"It ran, {words}; emitted by {BY}."


def test_a_run_by_hand_at_a_scheduled_time_says_so(topics: Topics) -> None:
    topics.tick(at(20), request=request(asked_at=at(20)))
    assert explained(page(), at(20)).text == f"It was run by hand; emitted by {BY}."


@pytest.mark.parametrize(
    ("reason", "detail", "text"),
    [
        ("missed", 'missed = "latest"', 'It was missed: no scheduler could emit it in time (missed = "latest").'),
        ("paused", "by alice: it rains", "The job was paused (by alice: it rains)."),
        ("overlap", "0d9a is unfinished", "The run before it wasn't finished (0d9a is unfinished)."),
        ("failed", "no such field", "Its event couldn't be made (no such field)."),
    ],
)
def test_a_time_that_was_skipped_is_explained_with_the_reason(
    topics: Topics, reason: Any, detail: str, text: str
) -> None:
    topics.skip(Skip(at(10), at(30), 3, reason, detail))
    found = explained(page(), at(20))
    assert (found.verdict, found.text) == (reason, text)
    assert (found.facts["skipped_from"], found.facts["skipped_to"], found.facts["skipped_count"]) == (at(10), at(30), 3)
    assert (found.facts["by"], found.facts["topic"]) == (BY, "unit.schedule.skipped")
    assert explained(page(), at(40)).verdict == "due"


def test_a_time_between_two_runs_names_both(topics: Topics) -> None:
    found = explained(page(), at(13))
    assert found.verdict == "no time"
    assert found.text == (
        "The schedule has no run at 2026-11-24 10:13:00 UTC; "
        "the one before is at 2026-11-24 10:10:00 UTC, the one after is at 2026-11-24 10:20:00 UTC."
    )
    assert topics.asked == []


@pytest.mark.usefixtures("topics")
def test_a_time_to_come_says_how_long_it_takes() -> None:
    found = explained(page(), at(120))
    assert (found.verdict, found.text) == ("not due", "It is due in 20 min.")


@pytest.mark.usefixtures("topics")
def test_a_time_whose_jitter_has_not_passed_is_not_due() -> None:
    late = job(jitter=timedelta(minutes=5))
    due_at = late.due_at(at(20))
    found = explained(page(late), at(20), due_at - timedelta(seconds=30))
    assert (found.verdict, found.text) == ("not due", "Its jitter makes it due in 30.0 s.")


@pytest.mark.usefixtures("topics")
def test_a_time_before_the_schedule_was_in_force_does_not_count() -> None:
    found = explained(page(since=at(41)), at(30))
    assert found.verdict == "before"
    assert found.text == ("This schedule is in force since 2026-11-24 10:41:00 UTC; times before that don't count.")


@pytest.mark.usefixtures("topics")
def test_a_time_that_is_settled_but_no_longer_kept_is_gone() -> None:
    assert explained(page(state=state(at(50), sequence=5)), at(20)).verdict == "gone"


@pytest.mark.usefixtures("topics")
def test_a_paused_or_disabled_job_says_so() -> None:
    paused = page(state=state(at(10)), pause=Pause(at(12), None, "alice", "it rains"))
    found = explained(paused, at(20))
    assert (found.verdict, found.text) == (
        "paused",
        "The job is paused since 2026-11-24 10:12:00 UTC by alice (it rains).",
    )
    assert explained(page(job(enabled=False)), at(20)).verdict == "disabled"


@pytest.mark.usefixtures("topics")
def test_a_due_time_that_nobody_emits_asks_for_a_scheduler() -> None:
    found = explained(page(), at(20))
    assert (found.verdict, found.text) == (
        "due",
        "It is due since 80 min and not emitted yet: is a scheduler running?",
    )


GAPS = [
    ("Europe/Paris", datetime(2026, 3, 29, 2, 30), "from 02:00 to 03:00", "2026-03-29 03:00:00 CEST"),
    ("Europe/Paris", datetime(2026, 3, 29, 2, 0), "from 02:00 to 03:00", "2026-03-29 03:00:00 CEST"),
    ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, 15), "from 02:00 to 02:30", "2026-10-04 02:30:00 +11"),
    ("Pacific/Apia", datetime(2011, 12, 30, 7, 0), "from 00:00 to 00:00", "2011-12-31 00:00:00 +14"),
]


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(("zone", "wall", "leap", "following"), GAPS)
def test_a_time_that_the_clocks_leap_over_is_explained(zone: str, wall: datetime, leap: str, following: str) -> None:
    found = explained(page(job(schedule=cron(f"{wall.minute} {wall.hour} * * *", zone))), wall)
    assert found.verdict == "gap"
    assert f"{wall:%H:%M:%S} doesn't exist on {wall:%Y-%m-%d} in {zone}" in found.text
    assert f"the clocks leap {leap}" in found.text
    assert f"The first run after the leap is that of {following}." in found.text


def test_times_beside_a_gap_and_times_that_come_twice_are_no_gap(topics: Topics) -> None:
    half_past = page(job(schedule=every(30, "Europe/Paris")), since=datetime(2026, 1, 1, tzinfo=PARIS))
    for wall in (datetime(2026, 3, 29, 1, 30), datetime(2026, 3, 29, 3, 0), datetime(2026, 10, 25, 2, 30)):
        assert explained(half_past, wall).verdict == "due"
    assert len(topics.asked) == 6
