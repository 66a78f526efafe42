"""What a worker refuses at its start, with the reason and the next step; nothing is consumed before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration import stream_samples
from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import Forwarder, committed, prepare, publish, steps, working
from tidemill.config import Settings
from tidemill.errors import BrokerUnreachable, RegistryError, SchemaNotRegistered, StreamError, UnknownTopic
from tidemill.event import Event
from tidemill.runtime.discover import load_streams
from tidemill.runtime.stream import stream
from tidemill.topics import apply


@stream("step.asked", name="answering")
async def answering(event: Event[StepAsked]) -> StepDone:
    raise AssertionError("nothing may be consumed")


async def refused(settings: Settings, *streams: Any) -> None:
    async with working(settings, *streams):
        pytest.fail("the worker started")


async def test_a_missing_topic_is_named_with_what_it_is_for(settings: Settings) -> None:
    with pytest.raises(UnknownTopic) as caught:
        await refused(settings, answering)
    for topic, use in (
        ("step.asked", "answering reads it"),
        ("step.asked.dead", "answering writes dead letters to it"),
        ("step.done", "answering publishes step.done to it"),
    ):
        assert f"{settings.qualified(topic)} ({use})" in caught.value.message
    assert caught.value.hint == "Create them from the contracts with `tidemill topics apply`."


async def test_an_output_without_a_registered_schema_is_refused(settings: Settings) -> None:
    apply(settings, [StepAsked.__contract__, StepDone.__contract__])
    with pytest.raises(SchemaNotRegistered, match=r"step\.done-value"):
        await refused(settings, answering)


async def test_a_broker_that_is_away_is_refused_with_its_address(settings: Settings) -> None:
    away = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    with pytest.raises(BrokerUnreachable, match=r"No Kafka broker answers at 127\.0\.0\.1:9"):
        await refused(away, answering)


async def test_a_registry_that_is_away_is_refused_with_its_address_and_consumes_nothing(settings: Settings) -> None:
    prepare(settings)
    publish(settings, steps("a", 1))
    async with Forwarder(settings.registry_url) as forwarder:
        await forwarder.close()
        away = settings.model_copy(update={"registry_url": forwarder.url})
        with pytest.raises(RegistryError, match="doesn't answer") as caught:
            await refused(away, answering)
        assert caught.value.retriable
        assert forwarder.url in str(caught.value)
    assert committed(settings, answering) == {}


async def test_a_handler_that_a_process_can_not_import_is_refused(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="nested", executor="process")
    def nested(event: Event[StepAsked]) -> None: ...

    with pytest.raises(StreamError, match=r"<locals>\.nested can't run with executor='process'") as caught:
        await refused(settings, nested)
    assert caught.value.hint == "Define it at the top level of a module that can be imported."

    hidden = stream("step.asked", name="hidden", executor="process")(stream_samples.note_down_step)
    with pytest.raises(StreamError, match=r"that name leads to <function note_down_step .*, not to this stream"):
        await refused(settings, hidden)


async def test_when_one_stream_is_refused_the_others_are_stopped_in_good_order(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="good")
    async def good(event: Event[StepAsked]) -> None:
        raise AssertionError("nothing may be consumed")

    @stream("step.asked", name="bad", executor="process")
    def bad(event: Event[StepAsked]) -> None: ...

    publish(settings, steps("a", 1))
    with pytest.raises(StreamError, match="can't run with executor='process'"):
        await refused(settings, good, bad)
    assert committed(settings, good) == {}


def test_two_streams_of_one_name_are_refused() -> None:
    with pytest.raises(StreamError) as caught:
        load_streams(["tests.integration.stream_samples:ledger", "tests.integration.stream_samples:ledger_twin"])
    assert "Two streams are named 'ledger'" in caught.value.message
    assert "stream_samples:ledger_twin" in caught.value.message
    assert "each get half of the events" in (caught.value.hint or "")
