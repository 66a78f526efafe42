"""Where is my job, on a real Kafka: a worker does its work, the tracker follows, and people ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from consumers.status.checkup import check_tracker
from consumers.status.command import register
from consumers.status.rebuild import rebuild
from consumers.status.tracker import Tracker
from tests.integration.commands import command_environment
from tests.integration.postgres import Postgres
from tests.integration.status_running import tracker_process, tracking, until_folded
from tests.integration.working import prepare, until, wait_until, working
from tests.unit.status_samples import MAIL, rows
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import JobFailed, JobUnfinished, Reject
from tidemill.event import Event
from tidemill.events import (
    EmailRequested,
    EmailSent,
    ImageProcessed,
    ImageRequested,
    JobCancel,
    JobProgress,
    Rendition,
)
from tidemill.jobs import Jobs
from tidemill.jobs.database import Database
from tidemill.jobs.state import State
from tidemill.publisher import Publisher
from tidemill.publisher.asynchronous import AsyncPublisher
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.topics import apply, house_topics


@stream("email.requested", name="email", order="none", retry=Retry(attempts=3, first=30.0, most=30.0, in_place=0.0))
async def mails(event: Event[EmailRequested], work: Work) -> EmailSent:
    """A stand-in for the e-mail stream, that does what the subject says."""
    if event.payload.subject == "refused":
        raise Reject("550 no such user")
    if event.payload.subject == "later":
        raise OSError("the relay doesn't answer")
    return EmailSent(message_id="<1@example.com>", accepted=event.payload.to, refused=[])


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics and schemas are there, and Kafka answers soon."""
    prepare(settings, EmailRequested, EmailSent, ImageRequested, ImageProcessed, JobProgress, JobCancel)
    apply(settings, [], house=house_topics())
    return settings


@pytest.fixture
def publisher(ready: Settings) -> Iterator[Publisher]:
    with Registry(ready) as registry, Publisher(ready, codec=Codec(registry)) as publisher:
        yield publisher


def ask(settings: Settings, *arguments: str) -> Result:
    """Run `tidemill ARGUMENTS` as a person would."""
    app = typer.Typer(rich_markup_mode=None)
    register(app)
    return CliRunner().invoke(app, arguments, env=command_environment(settings))


def mail(subject: str) -> EmailRequested:
    return EmailRequested(to=["ada@example.com"], subject=subject, text="Short.")


async def test_an_image_is_asked_for_and_its_job_waited_for(
    ready: Settings, publisher: Publisher, tmp_path: Path
) -> None:
    from streams.image.handler import image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    allowed = ready.model_copy(update={"store_allow": [tmp_path.as_uri()]})
    with tracking(ready):
        async with working(allowed, image):
            wanted = ImageRequested(
                source=(tmp_path / "red.png").as_uri(), renditions=[Rendition(name="thumb", width=20)]
            )
            receipt = publisher.publish(wanted)
            async with AsyncPublisher(ready) as asking:
                status = await asking.wait(receipt.id, timeout=30)
                assert await asking.status(receipt.id) == status
    assert (status.state, status.type, status.events) == (State.DONE, "image.requested", 2)
    assert status.result["renditions"][0]["width"] == 20
    shown = ask(ready, "job", receipt.id)
    assert "✓ image.processed done" in shown.stdout


async def test_jobs_that_fail_wait_and_are_delayed_say_so(ready: Settings, publisher: Publisher) -> None:
    with tracking(ready) as tracker:
        async with working(ready, mails):
            done, refused, later = [publisher.publish(mail(subject)).id for subject in ("hello", "refused", "later")]
            delayed = publisher.publish(mail("tomorrow"), delay=timedelta(days=1)).id
            with pytest.raises(JobFailed, match=r"Reject: 550 no such user \(stream email, 1 try, dead letter t.*/0\)"):
                await asyncio.to_thread(publisher.wait, refused, 30)
            assert (await asyncio.to_thread(publisher.wait, done, 30)).result["accepted"] == ["ada@example.com"]
            jobs = Jobs(ready)
            await until(
                lambda: (found := jobs.status(later)) and found.state is State.WAITING and found.why,
                "the tracker knows why the mail waits",
            )
            with pytest.raises(JobUnfinished, match="waiting, stream email, until 20"):
                await asyncio.to_thread(publisher.wait, later, 0.05)
            waiting = jobs.status(later)
            assert waiting is not None
            assert "the relay doesn't answer" in str(waiting.why)
            with pytest.raises(TimeoutError, match="delayed, until 20"):
                await asyncio.to_thread(publisher.wait, delayed, 0.05)
            jobs.close()
        until_folded(ready)
        assert tracker.folded > 6
        assert check_tracker(ready).ok
    listed = json.loads(ask(ready, "jobs", "--json").stdout)
    states = {each["id"]: each["state"] for each in listed}
    assert states == {done: "done", refused: "failed", later: "waiting", delayed: "delayed"}
    assert [each["id"] for each in json.loads(ask(ready, "jobs", "--state", "failed", "--json").stdout)] == [refused]
    followed = ask(ready, "job", refused, "--follow", "--json")
    assert followed.exit_code == 1
    assert json.loads(followed.stdout)["failures"][0]["message"] == "550 no such user"
    assert ask(ready, "job", "nobody").exit_code == 5


def table(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    database = Database(settings)
    try:
        return rows(database, offsets=False)
    finally:
        database.close()


def publish_many(publisher: Publisher, count: int) -> None:
    for number in range(count):
        request = publisher.publish(MAIL, id=f"mail-{number}").id
        if number % 3:
            cause = Event(MAIL, key=None, headers=[("ce_id", request.encode())], position=(("t", 0, 0, 0)))  # type: ignore[arg-type]
            publisher.publish(EmailSent(message_id="x", accepted=[], refused=[]), cause=cause, id=f"sent-{number}")
        if number % 10 == 0:
            publisher.publish(MAIL, id=f"later-{number}", delay=timedelta(days=1))
    publisher.flush()


def test_trackers_that_are_killed_lose_nothing_and_a_rebuild_gives_the_same_rows(
    ready: Settings, publisher: Publisher
) -> None:
    until_killed = 0
    database = Database(ready)
    for _ in range(3):
        publish_many(publisher, 300)
        with tracker_process(ready):
            # Killed as soon as it has written anything, wherever it then is.
            before = _folded(database)
            wait_until(lambda before=before: _folded(database) != before, "the tracker folds")  # type: ignore[misc]
            until_killed += 1
    with tracking(ready):
        until_folded(ready)
        expected = table(ready)
        rebuilt = rebuild(ready)
        assert table(ready) == expected
        # The one that runs goes on behind what the rebuild has read.
        publisher.publish(mail("one more"), id="one-more").result(30)
        until_folded(ready)
    database.close()
    assert until_killed == 3
    assert (rebuilt.jobs, rebuilt.before, rebuilt.kept, rebuilt.undecoded) == (330, 330, 0, 0)
    states = [row[1] for row in expected["tidemill_jobs"]]
    assert (states.count("done"), states.count("queued"), states.count("delayed")) == (200, 100, 30)
    assert len(table(ready)["tidemill_jobs"]) == 331


def _folded(database: Database) -> object:
    return rows(database) if database.exists and database.has_tables else None


def test_two_trackers_share_the_work_on_postgres(ready: Settings, publisher: Publisher, postgres: Postgres) -> None:
    shared = Settings(**{**ready.model_dump(), "status_url": postgres.new_database()})
    with ExitStack() as running:
        trackers: list[Tracker] = [running.enter_context(tracking(shared)) for _ in range(2)]
        publish_many(publisher, 300)
        until_folded(shared)
        assert all(tracker.folded >= 0 for tracker in trackers)
        expected = table(shared)
        rebuild(shared)
        assert table(shared) == expected
    assert len(expected["tidemill_jobs"]) == 330
    # The same as one tracker makes of it in a file.
    with tracking(ready):
        until_folded(ready)
        assert table(ready) == expected
