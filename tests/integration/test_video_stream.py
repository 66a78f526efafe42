"""The video stream on a real Kafka: a clip becomes its versions, told of on the way, and a playlist a dead letter."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from streams.video.handler import video
from tests.integration.working import events, header, messages, prepare, publish, until_there, working
from tidemill.config import Settings
from tidemill.events import JobCancel, JobProgress, VideoFile, VideoOutput, VideoPoster, VideoProcessed, VideoRequested
from tidemill.runtime import deadletter
from tidemill.store import Store

CLIP = Path(__file__).parents[2] / "examples/video/travel.mp4"
DEAD = VideoRequested.__contract__.dead_topic
SMALL = [VideoOutput(name="small", container="mp4", short_side=120)]


def check_content(file: VideoFile) -> None:
    """Its bytes are those that its sum is of."""
    assert hashlib.sha256(Path(urlsplit(file.uri).path).read_bytes()).hexdigest() == file.sha256


def check_codecs(film: VideoFile) -> None:
    """Another program sees what was asked for, where the machine has it."""
    if (ffprobe := shutil.which("ffprobe")) is None:
        return
    shown = [ffprobe, "-v", "error", "-show_streams", "-of", "json", urlsplit(film.uri).path]
    found = json.loads(subprocess.run(shown, capture_output=True, check=True).stdout)["streams"]
    assert {stream["codec_name"] for stream in found} == {"h264", "aac"}


async def test_a_clip_becomes_its_versions_and_a_playlist_a_dead_letter(settings: Settings) -> None:
    prepare(settings, VideoRequested, VideoProcessed, JobCancel, JobProgress)
    store = Store.from_settings(settings)
    clip = store.put("clip.mp4", CLIP, "video/mp4").uri
    playlist = store.write("list.mp4", f"#EXTM3U\n#EXTINF:9,\n{CLIP.as_uri()}\n".encode(), "video/mp4").uri
    asked = [
        VideoRequested(source=clip, outputs=SMALL, poster=VideoPoster()),
        VideoRequested(source=playlist, outputs=SMALL),
    ]
    publish(settings, asked)
    async with working(settings, video):
        await until_there(settings, VideoProcessed.__contract__.topic, 1)
        await until_there(settings, DEAD, 1)
    (done,) = events(settings, VideoProcessed, 1)
    film, poster = done.payload.files
    assert (film.name, film.content_type, min(film.width, film.height)) == ("small", "video/mp4", 120)
    assert poster.content_type == "image/jpeg"
    for file in done.payload.files:
        check_content(file)
    check_codecs(film)
    (letter,) = messages(settings, DEAD, 1)
    assert header(letter, deadletter.MESSAGE)
