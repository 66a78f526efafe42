"""Waiting for what becomes of published requests: results, dead letters, progress, and other people's events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.unit.sample_message import SampleMessage
from tidemill.event import CAUSE, ID
from tidemill.events import EmailRequested, EmailSent, JobProgress
from tidemill.requesting import Requested, Requesting, topics_of
from tidemill.runtime import deadletter

Job = Requested[EmailRequested, EmailSent]

SENT, DEAD, PROGRESS = topics_of(EmailRequested, EmailSent, progress=True)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
DONE = EmailSent(message_id="a", accepted=["ada@example.com"], refused=[])


class Messages:
    """Stands in for a Tail, and for a Codec: each message's value is the number of its payload."""

    def __init__(self) -> None:
        self.batches: list[list[SampleMessage]] = []
        self.payloads: list[object] = []

    def say(self, topic: str, payload: object = None, **headers: str) -> None:
        self.payloads.append(payload)
        pairs: list[tuple[str, Any]] = [(name, value.encode()) for name, value in headers.items()]
        value = str(len(self.payloads) - 1).encode()
        self.batches.append([SampleMessage(in_topic=f"test.{topic}", with_value=value, with_headers=pairs)])

    def read(self, timeout_seconds: float) -> list[SampleMessage]:
        return self.batches.pop(0) if self.batches else []

    def decode(self, value: bytes, cls: type[Any]) -> object:
        payload = self.payloads[int(value)]
        assert isinstance(payload, cls)
        return payload


def _waiting(messages: Messages, *ids: str) -> Requesting[Job]:
    requesting: Requesting[Job] = Requesting(messages, messages, EmailRequested, EmailSent)  # type: ignore[arg-type]
    for event_id in ids:
        requesting.watch(Job(request=EmailRequested(to=[event_id]), id=event_id))
    return requesting


def _progress(event: str, state: Any = "running", **more: Any) -> JobProgress:
    facts: dict[str, Any] = {"job": "j", "type": "email.requested", "stream": "email", "attempt": 1}
    return JobProgress(event=event, state=state, at=NOW, **facts, **more)


def test_each_request_gets_its_own_result_or_the_reason_why_there_is_none() -> None:
    messages = Messages()
    requesting = _waiting(messages, "first", "second")
    messages.say(DEAD, **{ID: "second", deadletter.MESSAGE: "No such mailbox."})
    messages.say(SENT, DONE, **{ID: "x", CAUSE: "first"})
    assert [job.id for job in requesting.outcomes(5.0)] == ["second", "first"]
    first, second = requesting.jobs.values()
    assert (first.result, first.failure) == (DONE, None)
    assert (second.result, second.failure) == (None, "No such mailbox.")
    assert first.seconds is not None
    assert requesting.waiting == []


def test_events_of_other_people_and_second_runs_change_nothing() -> None:
    messages = Messages()
    requesting = _waiting(messages, "first")
    messages.say(SENT, DONE, **{ID: "x", CAUSE: "somebody-elses"})
    messages.say(DEAD, **{ID: "somebody-elses", deadletter.MESSAGE: "no"})
    messages.say(PROGRESS, _progress("somebody-elses"), **{ID: "y"})
    messages.say(SENT, DONE, **{ID: "x", CAUSE: "first"})
    assert [job.id for job in requesting.outcomes(5.0)] == ["first"]
    messages.say(DEAD, **{ID: "first", deadletter.MESSAGE: "too late"})
    assert list(requesting.outcomes(5.0)) == []
    assert requesting.jobs["first"].failure is None


def test_progress_is_passed_on_and_is_no_outcome() -> None:
    messages = Messages()
    requesting = _waiting(messages, "first")
    for done in (1, 2):
        messages.say(PROGRESS, _progress("first", done=done, total=3), **{ID: f"p{done}"})
    messages.say(SENT, DONE, **{ID: "x", CAUSE: "first"})
    seen: list[int | None] = []
    outcomes = list(requesting.outcomes(5.0, lambda job: seen.append(job.progress.done if job.progress else None)))
    assert seen == [1, 2]
    assert [job.result for job in outcomes] == [DONE]


def test_a_cancelled_request_has_failed_for_the_reason_that_was_given() -> None:
    messages = Messages()
    requesting = _waiting(messages, "first")
    messages.say(PROGRESS, _progress("first", "cancelled", error="by ann: wrong file"), **{ID: "p"})
    (job,) = requesting.outcomes(5.0)
    assert job.failure == "cancelled: by ann: wrong file"


def test_the_wait_ends_when_nothing_is_heard() -> None:
    requesting = _waiting(Messages(), "first")
    assert list(requesting.outcomes(0.01)) == []
    assert [job.id for job in requesting.waiting] == ["first"]


def test_progress_is_only_followed_where_that_is_wanted() -> None:
    assert topics_of(EmailRequested, EmailSent) == ("email.sent", "email.requested.dead")
    assert topics_of(EmailRequested, EmailSent, progress=True) == ("email.sent", "email.requested.dead", "job.progress")
