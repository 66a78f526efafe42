"""`tidemill delayed` on a real Kafka: what it shows, and that its answers are what has happened."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from scheduler.delays.asking import ask
from scheduler.delays.record import look_up
from scheduler.delays.requests import Answer, Outcome, Wish
from tests.integration.delays_commands import Delayed
from tests.integration.delays_running import (
    dispatched,
    prepare_delays,
    publishing,
    put_off,
    scheduling,
    until_dispatched,
)
from tests.integration.working import prepare
from tidemill.config import Settings
from tidemill.events import ImageRequested, Rendition

FAR = 3600.0


@pytest.fixture(autouse=True)
def topics_are_there(settings: Settings) -> None:
    prepare_delays(settings)


def test_every_answer_agrees_with_what_is_in_the_topic_however_close_it_gets(settings: Settings) -> None:
    ids = [f"race{number}" for number in range(60)]
    with scheduling(settings):
        luck = random.Random(5)
        put_off(settings, {event_id: luck.uniform(0.5, 8.0) for event_id in ids})
        start = threading.Barrier(8)

        def cancel(some: list[str]) -> dict[str, Answer | None]:
            start.wait(10)
            wish = {event_id: Wish.CANCEL if int(event_id[4:]) % 3 else Wish.NOW for event_id in some}
            return {
                event_id: ask(settings, wish[event_id], event_id, by="test", timeout_seconds=20).answer
                for event_id in some
            }

        with ThreadPoolExecutor(8) as threads:
            answers: dict[str, Answer | None] = {}
            for some in threads.map(cancel, [ids[number::8] for number in range(8)]):
                answers |= some
        cancelled = {event_id for event_id, answer in answers.items() if answer is Answer.CANCELLED}
        gone = {*ids} - cancelled
        found = until_dispatched(settings, gone)
    assert found.keys() == gone
    assert {len(each) for each in found.values()} <= {1}
    assert {*answers.values()} <= {Answer.CANCELLED, Answer.DISPATCHED, Answer.ABSENT}
    assert cancelled, "none was cancelled: too late to prove anything"
    assert Answer.ABSENT in answers.values(), "none was dispatched before: too early to prove anything"
    for event_id in ids:
        outcome = look_up(settings, event_id)
        assert isinstance(outcome, Outcome)
        assert outcome.kind is (Answer.CANCELLED if event_id in cancelled else Answer.DISPATCHED)


def test_cancelling_says_which_it_was(settings: Settings, delayed_command: Delayed) -> None:
    put_off(settings, {"early": FAR, "late": 0.5, "urgent": FAR})
    with scheduling(settings):
        until_dispatched(settings, {"late"})
        first = delayed_command("cancel", "early")
        assert (first.exit_code, first.stdout) == (0, "✓ cancelled: early will not be dispatched.\n")
        again = delayed_command("cancel", "early")
        assert again.exit_code == 0
        assert "cancelled already at " in again.stdout
        too_late = delayed_command("cancel", "late")
        assert too_late.exit_code == 4
        assert "dispatched already at " in too_late.stderr
        assert settings.qualified("step.asked") in too_late.stderr
        unknown = delayed_command("cancel", "nobody")
        assert unknown.exit_code == 5
        assert "No such event waits: nobody." in unknown.stderr
        sent = delayed_command("now", "urgent", "--json")
        assert sent.exit_code == 0
        assert json.loads(sent.stdout)["answer"] == "dispatched"
        assert delayed_command("cancel", "urgent").exit_code == 4
        assert delayed_command("now", "early").exit_code == 4
        assert delayed_command("now", "urgent").exit_code == 0
    assert dispatched(settings).keys() == {"late", "urgent"}


def test_without_a_scheduler_a_request_stays_and_the_next_one_honours_it(
    settings: Settings, delayed_command: Delayed
) -> None:
    put_off(settings, {"stays": FAR, "goes": FAR})
    asked = delayed_command("cancel", "stays", "--timeout", "0.5")
    assert asked.exit_code == 3
    assert "No scheduler has answered within 0.5 s" in asked.stderr
    assert "`tidemill scheduler` starts one" in asked.stderr
    assert delayed_command("now", "goes", "--timeout", "0.5").exit_code == 3
    assert "2 requests to cancel or send are unanswered" in delayed_command("list").stderr
    with scheduling(settings):
        until_dispatched(settings, {"goes"})
        assert delayed_command("cancel", "stays").exit_code == 0
    assert "No event that waits." in delayed_command("list").stderr
    assert dispatched(settings).keys() == {"goes"}


def test_what_waits_is_listed_the_next_due_first_without_a_scheduler(
    settings: Settings, delayed_command: Delayed
) -> None:
    put_off(settings, {"third": 7300.0, "first": 130.0, "second": 3700.0, "last": 90_000.0})
    shown = delayed_command("list", "--limit", "3")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["DUE", "(UTC)", "IN", "ID", "TOPIC", "BYTES"]
    assert [line.split()[-3] for line in lines[1:]] == ["first", "second", "third"]
    assert "2 min" in lines[1]
    assert "3 of 4 events" in shown.stderr
    listed = json.loads(delayed_command("list", "--json", "--topic", "step.asked").stdout)
    assert (listed["total"], listed["matching"], listed["overdue"]) == (4, 4, 0)
    assert [event["id"] for event in listed["events"]] == ["first", "second", "third", "last"]
    assert listed["next_due"] == listed["events"][0]["due"]
    assert json.loads(delayed_command("list", "--json", "--topic", "image.requested").stdout)["events"] == []
    assert "No event overdue. 4 wait in all." in delayed_command("list", "--overdue").stderr


def test_an_event_is_shown_with_its_headers_and_its_payload(settings: Settings, delayed_command: Delayed) -> None:
    prepare(settings, ImageRequested)
    with publishing(settings) as publisher:
        event = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)])
        publisher.publish(event, id="picture", headers={"colour": "blue"}, delay=timedelta(hours=2, seconds=-30))
    shown = delayed_command("show", "picture")
    assert shown.exit_code == 0, shown.output
    for text in ("image.requested", "colour", "blue", '"source": "file:///1.jpg"', "(in 1 h 59 min)"):
        assert text in shown.stdout
    facts = json.loads(delayed_command("show", "picture", "--json").stdout)
    assert facts["payload"]["renditions"][0]["width"] == 200
    assert facts["key"] == "file:///1.jpg"
    assert facts["headers"]["colour"] == "blue"
    assert delayed_command("show", "nobody").exit_code == 5
