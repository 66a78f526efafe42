"""The video stream on a real Kafka: long jobs, jobs that are killed or cancelled half-way, and a file that is none."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from streams.video.handler import video
from tests.integration.commands import command_environment
from tests.integration.test_stream_processes import pool_processes
from tests.integration.working import (
    committed,
    ends,
    events,
    header,
    messages,
    prepare,
    publish,
    until,
    until_there,
    working,
)
from tests.unit.video_samples import TRAVEL, UPRIGHT
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.events import JobCancel, JobProgress, VideoOutput, VideoPoster, VideoProcessed, VideoRequested
from tidemill.runtime import deadletter
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work

MAX_POLL_SECONDS = 1.0
PROCESSED = VideoProcessed.__contract__.topic
DEAD = VideoRequested.__contract__.dead_topic


@stream("video.requested", executor="process", concurrency=1, cancellable=True, retry=Retry(attempts=3, first=0.1))
def quick(event: Event[VideoRequested], work: Work) -> VideoProcessed:
    """The stream with waits that a test can sit out."""
    result: VideoProcessed = video(event, work)
    return result


@pytest.fixture
def ready(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Contracts, an encoder that is slow enough to be met at work, and a consumer that may not be away for long."""
    prepare(settings, VideoRequested, VideoProcessed, JobProgress, JobCancel)
    monkeypatch.setenv("TIDEMILL_VIDEO_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.setenv("TIDEMILL_VIDEO_WEBM_SPEED", "6")
    limit = {"max.poll.interval.ms": str(int(MAX_POLL_SECONDS * 1000))}
    return settings.model_copy(
        update={
            "kafka": {**settings.kafka, **limit},
            "store_url": (tmp_path / "objects").as_uri(),
            "store_allow": [TRAVEL.parent.as_uri(), (tmp_path / "uploads").as_uri()],
        }
    )


def ask(source: Path = TRAVEL) -> VideoRequested:
    outputs = [
        VideoOutput(name="web", container="webm", short_side=270),
        VideoOutput(name="small", container="mp4", width=90),
    ]
    return VideoRequested(source=source.as_uri(), outputs=outputs, poster=VideoPoster(width=160))


def ask_for_more() -> VideoRequested:
    """A job that takes several times as long, so that a cancel meets it at work on any machine."""
    outputs = [VideoOutput(name=f"web-{side}", container="webm", short_side=side) for side in (270, 260, 250, 240, 230)]
    return VideoRequested(source=TRAVEL.as_uri(), outputs=outputs)


def run_tidemill(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would whose environment holds these settings."""
    environment = os.environ | command_environment(settings) | {"TIDEMILL_STORE_URL": settings.object_store}
    command = [sys.executable, "-m", "tidemill", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def encoders() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        # It may end, or be a zombie, while it is looked at.
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [each] if "ffmpeg" in " ".join(each.cmdline()[:1]) else []
    return found


async def until_encoding(settings: Settings, event_id: str) -> None:
    """Wait until some of a video is encoded."""
    at_least = 1
    while True:
        await until_there(settings, JobProgress.__contract__.topic, at_least)
        told = [each.payload for each in await asyncio.to_thread(events, settings, JobProgress)]
        if any(each.event == event_id and "encoding" in (each.note or "") and encoders() for each in told):
            return
        at_least = len(told) + 1


def whole_objects(tmp_path: Path) -> list[Path]:
    """What is in the store, each file being what its name says."""
    found = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    for path in found:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
    return found


async def test_a_job_longer_than_the_poll_interval_causes_no_rebalance_and_a_killed_one_starts_again(
    ready: Settings, tmp_path: Path
) -> None:
    async with working(ready, quick) as worker:
        (assigned,) = [dict(engine.parts) for engine in worker.engines]
        (first,) = publish(ready, [ask()])
        await until_encoding(ready, first)
        await until_there(ready, PROCESSED, 1)
        (done,) = events(ready, VideoProcessed)
        assert (done.cause, len(done.payload.files)) == (first, 3)
        told = [each.payload for each in events(ready, JobProgress) if each.payload.event == first]
        assert (told[-1].at - told[0].at).total_seconds() > MAX_POLL_SECONDS
        # A partition that was taken away and given back would be another object.
        (still,) = [dict(engine.parts) for engine in worker.engines]
        assert all(still[key] is part for key, part in assigned.items())
        before = whole_objects(tmp_path)
        assert len(before) == 3

        (second,) = publish(ready, [ask()])
        await until_encoding(ready, second)
        (process,) = pool_processes()
        process.kill()
        await until_there(ready, PROCESSED, 2)
        again = events(ready, VideoProcessed)[-1]
        assert (again.cause, again.payload) == (second, done.payload)
        assert whole_objects(tmp_path) == before
        assert {each.payload.attempt for each in events(ready, JobProgress) if each.payload.event == second} == {1, 2}
        assert await worker.stop() == 0
    assert encoders() == []
    assert list((tmp_path / "work").iterdir()) == []
    assert sum(committed(ready, quick).values()) == 2


async def test_a_cancelled_video_ends_with_its_encoder_and_a_playlist_is_a_dead_letter(
    ready: Settings, tmp_path: Path
) -> None:
    playlist = tmp_path / "uploads" / "playlist.mp4"
    playlist.parent.mkdir()
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{TRAVEL.as_uri()}\n#EXT-X-ENDLIST\n")
    async with working(ready, quick) as worker:
        (job,) = publish(ready, [ask_for_more()])
        await until_encoding(ready, job)
        publish(ready, [JobCancel(job=job, by="ann")])
        await until(lambda: encoders() == [], "the encoder is gone")
        publish(ready, [ask(playlist)])
        await until_there(ready, DEAD, 1)
        assert await worker.stop() == 0
    (letter,) = messages(ready, DEAD)
    assert "It is no video of an allowed format" in header(letter, deadletter.MESSAGE)
    assert [each.payload.event for each in events(ready, JobProgress) if each.payload.state == "cancelled"] == [job]
    assert sum(ends(ready, PROCESSED).values()) == 0
    assert whole_objects(tmp_path) == []
    # The cancelled one's folder went with the next try.
    assert list((tmp_path / "work").iterdir()) == []


async def test_the_command_makes_files_beside_the_video_and_says_what_they_are(ready: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(TRAVEL.read_bytes()[:100_000])
    out = tmp_path / "out"
    async with working(ready, quick) as worker:
        asked = ["video", str(UPRIGHT), str(broken), "--mp4", "90", "--poster", "--preview", "--out", str(out)]
        said = await asyncio.to_thread(run_tidemill, ready, *asked)
        assert await worker.stop() == 0
    assert said.returncode == 1, said.stderr
    names = [f"upright-{name}" for name in ("90p-mp4.mp4", "poster.jpg", "poster.webp", "preview.webp")]
    assert sorted(path.name for path in out.iterdir()) == names
    assert "288x512 h264, 3.0 s" in said.stdout
    assert "broken.mp4 became a dead letter: The video ends after" in said.stdout
    assert "1 of 2 videos, 4 files" in said.stdout
