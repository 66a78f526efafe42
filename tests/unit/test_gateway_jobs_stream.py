"""How a stream of a job's events goes on, and by what it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from producers.gateway.jobs.settings import JobSettings
from producers.gateway.jobs.stream import JobStream
from producers.gateway.jobs.watch import JobWatch
from tests.unit.gateway_job_samples import Table, status
from tidemill.jobs import State

SETTINGS = JobSettings(beat_seconds=0.05, keep_alive_seconds=0.05, send_seconds=0.2)


class Reader:
    """A stream of job 1, and who reads it."""

    def __init__(self) -> None:
        self.table = Table()
        self.table.jobs["1"] = status("1", State.QUEUED)
        self.watch = JobWatch(self.table, SETTINGS.beat_seconds)
        self.stopping, self.gone, self.stuck = asyncio.Event(), asyncio.Event(), False
        self.allowed = True
        self.sent: list[dict[str, Any]] = []
        self.ends = 0
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    @property
    def is_complete(self) -> bool:
        return self.sent[-1].get("more_body") is False

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.append(message)
        self._news.set()

    async def is_allowed(self) -> bool:
        return self.allowed

    def left(self) -> None:
        self.ends += 1

    def begin(self, seen: str | None = None, **changes: float) -> asyncio.Task[None]:
        stream = JobStream(
            self.watch,
            "1",
            SETTINGS.model_copy(update=changes),
            lambda job: f'{{"state":"{job.state}"}}',
            self.stopping,
            seen,
            self.is_allowed,
            self.left,
        )
        return asyncio.create_task(stream({}, self.receive, self.send))

    async def until(self, text: str) -> None:
        async with asyncio.timeout(5):
            while text not in self.text:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    started = Reader()
    yield started
    await started.watch.close()


async def test_each_change_is_told_and_the_end_ends_it(reader: Reader) -> None:
    task = reader.begin()
    await reader.until("event: state")
    for state, seconds, said in (
        (State.RUNNING, 1, '"running"'),
        (State.RUNNING, 2, "event: progress"),
        (State.DONE, 3, "event: done"),
    ):
        reader.table.jobs["1"] = status("1", state, seconds)
        await reader.until(said)
    await asyncio.wait_for(task, 5)
    assert reader.is_complete
    assert reader.ends == 1
    names = [line.removeprefix("event: ") for line in reader.text.splitlines() if line.startswith("event:")]
    assert names == ["state", "state", "progress", "done"]
    headers = dict(reader.sent[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert b"content-length" not in headers


async def test_who_comes_again_is_not_told_the_same_again(reader: Reader) -> None:
    task = reader.begin()
    await reader.until("event: state")
    (seen,) = [line.removeprefix("id: ") for line in reader.text.splitlines() if line.startswith("id:")]
    reader.gone.set()
    await asyncio.wait_for(task, 5)
    reader.sent.clear()
    reader.gone.clear()
    task = reader.begin(seen)
    await reader.until(":\n\n:\n\n")
    assert "event:" not in reader.text
    reader.table.jobs["1"] = status("1", State.QUEUED, 7)
    await reader.until("event: progress")
    reader.stopping.set()
    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("why", ["stopping", "token", "time"])
async def test_a_stream_ends_in_order(reader: Reader, why: str) -> None:
    task = reader.begin(stream_seconds=0.2 if why == "time" else 60.0)
    await reader.until("event: state")
    if why == "stopping":
        reader.stopping.set()
    elif why == "token":
        reader.allowed = False
    await asyncio.wait_for(task, 5)
    assert reader.is_complete
    assert reader.ends == 1


@pytest.mark.parametrize("why", ["gone", "stuck"])
async def test_a_reader_that_has_gone_or_takes_nothing_is_left(reader: Reader, why: str) -> None:
    task = reader.begin()
    await reader.until("event: state")
    setattr(reader, why, True) if why == "stuck" else reader.gone.set()
    await asyncio.wait_for(task, 5)
    assert not reader.is_complete
    assert reader.ends == 1
    assert not reader.watch._followed
