"""What a worker looks at before it starts, where the cluster doesn't let it."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.integration.steps import StepAsked
from tidemill import broker
from tidemill.config import load_settings
from tidemill.errors import NotAuthorized, StreamError
from tidemill.event import Event
from tidemill.runtime import retry_room
from tidemill.runtime.outcomes import Waits
from tidemill.runtime.retry import Retry
from tidemill.runtime.retry_room import kept_seconds, room_for_retries
from tidemill.runtime.stream import Stream, stream
from tidemill.topics import Topic

DAY = 24 * 3600.0


def declared(**options: Any) -> Stream:
    @stream("step.asked", name="steps", **options)
    async def steps(event: Event[StepAsked]) -> None: ...

    return steps


def rooms_of(streams: list[Stream]) -> dict[str, Waits]:
    settings = load_settings(namespace="")
    return room_for_retries(streams, settings, broker.cluster_metadata(settings), kept_seconds(streams, settings))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A cluster in which only the stream's topic is there; the topics that are made."""
    made: list[Any] = []
    partition = SimpleNamespace(replicas=[1, 2, 3])
    metadata = SimpleNamespace(topics={"step.asked": SimpleNamespace(partitions=dict.fromkeys(range(12), partition))})
    monkeypatch.setattr(broker, "cluster_metadata", lambda settings: metadata)
    kept(monkeypatch, 7 * DAY)

    def create(topics: list[Any], request_timeout: float) -> dict[str, Future[None]]:
        made.extend(topics)
        done: Future[None] = Future()
        done.set_result(None)
        return {topics[0].topic: done}

    admin = SimpleNamespace(create_topics=create)
    monkeypatch.setattr(broker, "admin_client", lambda settings: admin)
    return made


def kept(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    topic = Topic("step.asked", 12, 3, {"retention.ms": str(int(seconds * 1000))})
    monkeypatch.setattr(retry_room, "read_topics", lambda settings, names: {"step.asked": topic})


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def create(topics: list[Any], request_timeout: float) -> dict[str, Future[None]]:
        refused: Future[None] = Future()
        refused.set_exception(KafkaException(KafkaError(code)))
        return {topics[0].topic: refused}

    monkeypatch.setattr(broker, "admin_client", lambda settings: SimpleNamespace(create_topics=create))


@pytest.mark.usefixtures("made")
def test_a_handler_may_ask_for_half_of_what_the_topic_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = rooms_of([declared()])
    assert (rooms["steps"].most_seconds, rooms["steps"].retry_topic) == (3.5 * DAY, None)
    kept(monkeypatch, -0.001)
    assert rooms_of([declared()])["steps"].most_seconds == float("inf")


@pytest.mark.usefixtures("made")
def test_where_the_retention_may_not_be_read_the_contract_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(settings: Any, names: Any) -> Any:
        raise NotAuthorized("Not for you.")

    monkeypatch.setattr(retry_room, "read_topics", refused)
    assert rooms_of([declared()])["steps"].most_seconds == DAY / 2


@pytest.mark.usefixtures("made")
def test_a_policy_is_refused_by_what_its_events_wait_in_their_topic() -> None:
    patient = Retry(attempts=2000, first=600.0)
    with pytest.raises(StreamError, match="it could be deleted while it waits"):
        rooms_of([declared(retry=patient)])
    # Around by schedule.delayed it waits elsewhere.
    rooms_of([declared(retry=patient, order="none")])
    nowhere_else = Retry(attempts=2000, first=600.0, in_place=600.0)
    with pytest.raises(StreamError, match="it could be deleted while it waits"):
        rooms_of([declared(retry=nowhere_else, order="none")])
    rooms_of([declared(retry=Retry(attempts=2000, first=600.0, expires=DAY))])


def test_a_retry_topic_is_made_like_the_streams_own(made: list[Any]) -> None:
    rooms = rooms_of([declared(order="none")])
    (new,) = made
    assert rooms["steps"].retry_topic == new.topic == "tidemill.steps.retry"
    assert (new.num_partitions, new.replication_factor) == (12, 3)
    assert (new.config["cleanup.policy"], new.config["retention.ms"]) == ("delete", str(int(DAY * 1000)))
    assert new.config["min.insync.replicas"] == "2"


def test_without_tries_nothing_comes_back(made: list[Any]) -> None:
    rooms_of([declared(order="none", retry=Retry(attempts=1))])
    assert made == []


@pytest.mark.usefixtures("made")
def test_a_client_that_may_not_make_it_is_told_how_it_is_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(NotAuthorized) as refused:
        rooms_of([declared(order="none")])
    said = str(refused.value)
    assert "steps gets its retries back on tidemill.steps.retry, which isn't there" in said
    assert "12 partitions, 3 copies and cleanup.policy=delete, max.message.bytes=" in said


@pytest.mark.usefixtures("made")
def test_one_that_another_worker_has_just_made_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, KafkaError.TOPIC_ALREADY_EXISTS)
    assert rooms_of([declared(order="none")])["steps"].retry_topic
