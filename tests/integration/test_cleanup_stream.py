"""The clean-up stream on a real Kafka: requests become runs, and a worker killed in the middle loses no row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cleanup.handler import cleanup
from tests.integration.commands import command_environment
from tests.integration.working import events, header, messages, prepare, publish, until_there, wait_until, working
from tests.unit.cleaning import AS_OF, Site, declared
from tidemill.config import Settings
from tidemill.events import CleanupDone, CleanupRequested, JobCancel, JobProgress
from tidemill.runtime import deadletter
from tidemill.topics import apply, house_topics

ROOT = Path(__file__).parents[2]
DONE = CleanupDone.__contract__.topic
DEAD = CleanupRequested.__contract__.dead_topic
WORKER = """
import asyncio
from streams.cleanup.handler import cleanup
from tidemill.config import load_settings
from tidemill.runtime.worker import Worker

asyncio.run(Worker([cleanup], load_settings()).run())
"""


@pytest.fixture
def site(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    prepare(settings, CleanupRequested, CleanupDone, JobCancel, JobProgress)
    apply(settings, [], house=house_topics())
    site = Site(tmp_path)
    monkeypatch.setenv("TIDEMILL_CLEANUP_POLICIES", str(tmp_path / "cleanup.toml"))
    return site


def _policies(site: Site, policy: str) -> None:
    (site.folder / "cleanup.toml").write_text(declared(policy, site.url))


async def test_a_request_becomes_a_run_and_too_large_a_share_a_dead_letter(settings: Settings, site: Site) -> None:
    site.fill(old=12, young=30)
    _policies(site, 'max_share = 0.2\narchive = "archive"')
    settings = settings.model_copy(update={"store_url": site.store.home.uri})
    publish(settings, [CleanupRequested(policy="sessions", as_of=AS_OF)])
    async with working(settings, cleanup):
        await until_there(settings, DEAD, 1)
        assert len(site.ids()) == 42
        publish(settings, [CleanupRequested(policy="sessions", as_of=AS_OF, force=True)])
        await until_there(settings, DONE, 1)
    (letter,) = messages(settings, DEAD, 1)
    assert "would remove 12 of 42 rows, 28.6%" in header(letter, deadletter.MESSAGE)
    (told,) = events(settings, CleanupDone, 1)
    assert (told.payload.before, told.payload.deleted, told.payload.after) == (42, 12, 30)
    assert [row["id"] for row in site.archived()] == list(range(1, 13))
    assert site.ids() == list(range(13, 43))


async def test_a_worker_killed_in_the_middle_leaves_the_rest_to_the_next(settings: Settings, site: Site) -> None:
    site.fill(old=60, young=30)
    _policies(site, 'archive = "archive"\nbatch_rows = 5\npause_seconds = 0.2')
    environment = {**os.environ, **command_environment(settings), "TIDEMILL_STORE_URL": site.store.home.uri}
    environment["TIDEMILL_KAFKA"] = json.dumps(settings.kafka)
    (asked,) = publish(settings, [CleanupRequested(policy="sessions", as_of=AS_OF)])
    log = (site.folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(  # noqa: ASYNC220 - started before anything runs on the loop
            [sys.executable, "-c", WORKER], cwd=ROOT, env=environment, stderr=log
        ) as worker,
    ):
        try:
            wait_until(lambda: len(site.ids()) <= 80, "two batches are gone")
        finally:
            worker.send_signal(signal.SIGKILL)
    left, archived = site.ids(), [row["id"] for row in site.archived()]
    assert set(left) | set(archived) == set(range(1, 91)), "a row is lost"
    assert len(left) > 30, "it was killed too late"
    async with working(settings.model_copy(update={"store_url": site.store.home.uri}), cleanup):
        await until_there(settings, DONE, 1)
    assert site.ids() == list(range(61, 91))
    assert sorted(row["id"] for row in site.archived()) == list(range(1, 61)), "a row is lost, or archived twice"
    (told,) = events(settings, CleanupDone, 1)
    assert told.cause == asked
    assert told.payload.deleted + told.payload.deleted_earlier == 60
    assert told.payload.deleted_earlier >= 10
    assert sum(file.rows for file in told.payload.archives) == 60
