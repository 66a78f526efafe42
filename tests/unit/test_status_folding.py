"""From messages to the state of a job: what each course of events comes to, and that no order of reading changes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from pathlib import Path
from random import Random

import pytest

from consumers.status.evidence import Named
from consumers.status.facts import Facts
from consumers.status.facts_json import dumped, loaded
from consumers.status.fold import OWN_COLUMNS
from tests.unit.status_samples import (
    MAIL,
    PICTURE,
    PROCESSED,
    SENT,
    SETTINGS,
    Topics,
    audit,
    cut,
    email,
    evidence_of,
    folded,
    id_of,
    image,
    interleaved,
    rows,
)
from tidemill.errors import Reject
from tidemill.jobs.queries import events_of, job_of, job_status
from tidemill.jobs.state import State
from tidemill.jobs.status import EventStatus, JobStatus

ORDERS = int(os.environ.get("TIDEMILL_TEST_ORDERS", "6"))
"""Orders of reading that are tried; more of them take a second each."""


def job_after(topics: Topics, folder: Path, job: str) -> JobStatus:
    """The job once all was read."""
    with folded(topics, [topics.messages], folder).reading() as connection:
        status = job_status(connection, job)
    assert status is not None
    return status


def tree_after(topics: Topics, folder: Path, job: str) -> dict[str | None, EventStatus]:
    """Its events by type."""
    with folded(topics, [topics.messages], folder).reading() as connection:
        return {event.type: event for event in events_of(connection, job, 100)}


def done(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.publish(PROCESSED, cause=request)
    return State.DONE


def queued(topics: Topics) -> State:
    topics.publish(PICTURE)
    return State.QUEUED


def running(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.report(request, image, "running", note="decoding")
    topics.report(request, image, "running", done=3, total=10, unit="renditions")
    return State.RUNNING


def failed(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.report(request, image, "waiting", due=topics.now + timedelta(seconds=5), error="no answer")
    topics.bury(request, image, Reject("not a picture"), attempts=5)
    return State.FAILED


def redriven(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.bury(request, image, Reject("not a picture"))
    topics.again(request)
    return State.QUEUED


def redriven_and_done(topics: Topics) -> State:
    redriven(topics)
    topics.publish(PROCESSED, cause=topics.messages[-1])
    return State.DONE


def redriven_and_failed_again(topics: Topics) -> State:
    redriven(topics)
    topics.bury(topics.messages[-1], image, Reject("still not a picture"))
    return State.FAILED


def replayed(topics: Topics) -> State:
    done(topics)
    topics.again(topics.messages[0], replay=b"yesterday")
    topics.report(topics.messages[0], image, "running")
    return State.DONE


def replay_that_failed(topics: Topics) -> State:
    replayed(topics)
    topics.bury(topics.messages[2], image, Reject("not a picture"))
    return State.DONE


def waiting_in_place(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.report(request, image, "running", attempt=1)
    topics.report(request, image, "waiting", attempt=1, due=topics.now + timedelta(minutes=1), error="no answer")
    return State.WAITING


def waiting_around(topics: Topics) -> State:
    request = topics.publish(MAIL)
    topics.report(request, email, "waiting", attempt=1, due=topics.now + timedelta(minutes=1), error="greylisted")
    topics.put_off(request, email, 1, topics.now + timedelta(minutes=1))
    return State.WAITING


def came_back(topics: Topics) -> State:
    waiting_around(topics)
    topics.dispatch(topics.messages[-1])
    return State.QUEUED


def waiting_again(topics: Topics) -> State:
    waiting_around(topics)
    back = topics.dispatch(topics.messages[-1])
    assert back is not None
    topics.put_off(back, email, 2, topics.now + timedelta(minutes=2))
    return State.WAITING


def came_back_and_done(topics: Topics) -> State:
    waiting_around(topics)
    back = topics.dispatch(topics.messages[-1])
    topics.publish(SENT, cause=back)
    return State.DONE


def came_back_and_failed(topics: Topics) -> State:
    waiting_again(topics)
    back = topics.dispatch(topics.messages[-1])
    assert back is not None
    topics.bury(back, email, Reject("550 no such user"), attempts=3)
    return State.FAILED


def retry_taken_away(topics: Topics) -> State:
    waiting_around(topics)
    topics.dispatch(topics.messages[-1], outcome=b"cancelled")
    return State.CANCELLED


def delayed(topics: Topics) -> State:
    topics.publish(PICTURE, delay=timedelta(days=1))
    return State.DELAYED


def delayed_and_due(topics: Topics) -> State:
    topics.dispatch(topics.publish(PICTURE, delay=timedelta(days=1)))
    return State.QUEUED


def delayed_and_done(topics: Topics) -> State:
    arrived = topics.dispatch(topics.publish(PICTURE, delay=timedelta(days=1)))
    topics.publish(PROCESSED, cause=arrived)
    return State.DONE


def delayed_and_taken_away(topics: Topics) -> State:
    topics.dispatch(topics.publish(PICTURE, delay=timedelta(days=1)), outcome=b"cancelled")
    return State.CANCELLED


def cancelled(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.report(request, image, "running")
    topics.cancel(request)
    topics.report(request, image, "cancelled", error="by ann: a mistake")
    return State.CANCELLED


def cancelled_too_late(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.cancel(request)
    topics.publish(PROCESSED, cause=request)
    return State.DONE


def published_twice(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.again(request)
    topics.bury(request, image, Reject("not a picture"))
    return State.QUEUED


def result_alone(topics: Topics) -> State:
    topics.publish(PROCESSED)
    return State.DONE


def one_of_several_failed(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.publish(PROCESSED, cause=request)
    mail = topics.publish(MAIL, cause=request)
    topics.bury(mail, email, Reject("550 no such user"))
    return State.FAILED


def one_of_several_waits(topics: Topics) -> State:
    one_of_several_failed(topics)
    mail = topics.publish(MAIL, cause=topics.messages[0])
    topics.put_off(mail, email, 1, topics.now + timedelta(minutes=1))
    return State.WAITING


def another_stream_failed(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.publish(PROCESSED, cause=request)
    topics.bury(request, audit, ValueError("disk full"))
    return State.FAILED


def without_outputs_but_done(topics: Topics) -> State:
    request = topics.publish(PICTURE)
    topics.report(request, image, "running")
    topics.report(request, image, "done")
    return State.DONE


COURSES: list[Callable[[Topics], State]] = [
    done,
    queued,
    running,
    failed,
    redriven,
    redriven_and_done,
    redriven_and_failed_again,
    replayed,
    replay_that_failed,
    waiting_in_place,
    waiting_around,
    came_back,
    waiting_again,
    came_back_and_done,
    came_back_and_failed,
    retry_taken_away,
    delayed,
    delayed_and_due,
    delayed_and_done,
    delayed_and_taken_away,
    cancelled,
    cancelled_too_late,
    published_twice,
    result_alone,
    one_of_several_failed,
    one_of_several_waits,
    another_stream_failed,
    without_outputs_but_done,
]


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
def test_a_course_of_events_comes_to_this_state(course: Callable[[Topics], State], tmp_path: Path) -> None:
    topics = Topics()
    state = course(topics)
    assert job_after(topics, tmp_path, id_of(topics.messages[0])).state is state


def test_no_order_of_reading_and_no_double_changes_any_row(tmp_path: Path) -> None:
    topics = Topics()
    for course in COURSES:
        # Each begins with what it finds first, in partitions of its own.
        alone = topics.beside()
        course(alone)
        topics.messages += alone.messages
    expected = rows(folded(topics, [topics.messages], tmp_path / "in order"))
    random = Random(17)
    for number in range(ORDERS):
        batches = cut(interleaved(topics.messages, random), random)
        assert rows(folded(topics, batches, tmp_path / str(number))) == expected
    assert len(expected["tidemill_jobs"]) == len(COURSES)


def test_facts_are_joined_alike_in_any_order_and_any_grouping() -> None:
    topics = Topics()
    for course in COURSES:
        alone = topics.beside()
        course(alone)
        topics.messages += alone.messages
    told: dict[Named, list[Facts]] = {}
    for message in topics.messages:
        for named, facts in evidence_of(topics).batch([message]).facts.items():
            told.setdefault(named, []).append(facts)
    random = Random(23)
    for named, parts in told.items():
        expected = reduce(Facts.join, parts)
        for _ in range(20):
            some = [*parts, *random.choices(parts, k=3)]
            random.shuffle(some)
            middle = random.randrange(1, len(some))
            joined = reduce(Facts.join, some[:middle]).join(reduce(Facts.join, some[middle:]))
            assert joined == expected, named
            assert loaded(dumped(joined), **{name: getattr(joined, name) for name in OWN_COLUMNS}) == joined


def test_progress_and_since_when_are_told(tmp_path: Path) -> None:
    topics = Topics()
    running(topics)
    status = job_after(topics, tmp_path, id_of(topics.messages[0]))
    progress = status.progress
    assert progress is not None
    assert (progress.done, progress.total, progress.unit, progress.fraction) == (3, 10, "renditions", 0.3)
    assert status.lead.stream == "image"
    assert status.lead.since is not None
    assert status.lead.since < status.updated_at


def test_a_failure_names_its_stream_its_reason_and_its_dead_letter(tmp_path: Path) -> None:
    topics = Topics()
    failed(topics)
    (failure,) = job_after(topics, tmp_path, id_of(topics.messages[0])).failures
    assert (failure.stream, failure.error, failure.message) == ("image", "tidemill.errors.Reject", "not a picture")
    assert (failure.attempts, failure.topic, failure.partition, failure.offset) == (
        5,
        "test.image.requested.dead",
        0,
        0,
    )


def test_a_waiting_job_says_until_when_and_why(tmp_path: Path) -> None:
    topics = Topics()
    waiting_around(topics)
    status = job_after(topics, tmp_path, id_of(topics.messages[0]))
    assert status.why == "greylisted"
    assert status.lead.until == topics.now + timedelta(seconds=58)


def test_a_done_job_has_the_payload_of_its_result(tmp_path: Path) -> None:
    topics = Topics()
    done(topics)
    status = job_after(topics, tmp_path, id_of(topics.messages[0]))
    (result,) = status.results
    assert (result.type, result.id) == ("image.processed", id_of(topics.messages[1]))
    assert status.result["dominant_color"] == "#fff"
    assert status.result["original"]["format"] == "jpeg"


def test_a_job_says_who_asked_for_its_end_also_when_that_came_too_late(tmp_path: Path) -> None:
    topics = Topics()
    cancelled_too_late(topics)
    assert job_after(topics, tmp_path, id_of(topics.messages[0])).cancel_asked_by == "ann: a mistake"


def test_the_tree_knows_what_each_event_came_of(tmp_path: Path) -> None:
    topics = Topics()
    one_of_several_failed(topics)
    job = id_of(topics.messages[0])
    tree = tree_after(topics, tmp_path, job)
    assert {kind: event.state for kind, event in tree.items()} == {
        "image.requested": State.DONE,
        "image.processed": State.DONE,
        "email.requested": State.FAILED,
    }
    assert (tree["image.requested"].cause, tree["email.requested"].cause) == (None, job)
    with folded(topics, [topics.messages], tmp_path).reading() as connection:
        assert job_of(connection, tree["email.requested"].id) == job


def test_a_request_to_cancel_what_nobody_knows_makes_no_job(tmp_path: Path) -> None:
    topics = Topics()
    request = Topics().publish(PICTURE)
    topics.cancel(request)
    assert rows(folded(topics, [topics.messages], tmp_path))["tidemill_jobs"] == []


def test_what_cannot_be_decoded_counts_by_its_envelope(tmp_path: Path) -> None:
    topics = Topics()
    request = topics.publish(PICTURE)
    result = topics.publish(PROCESSED, cause=request)
    topics.messages.remove(result)
    topics.append(result.topic(), result.key(), b"\x00\x00\x00\x00\x07junk", result.with_headers)
    topics.append(SETTINGS.qualified("job.progress"), b"key", b"junk", [])
    status = job_after(topics, tmp_path, id_of(request))
    assert status.state is State.DONE
    assert status.results[0].payload is None
