"""From an upload to its rendition over HTTP, with a real Kafka, the image stream and the tracker."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from producers.gateway.jobs.desk import JobDesk
from producers.gateway.jobs.settings import JobSettings
from streams.image.handler import image
from tests.integration.gateway_running import Running, new_tokens, running_gateway
from tests.integration.gateway_streams import Told, stream
from tests.integration.status_running import tracking, until_folded
from tests.integration.working import events, prepare, publish, wait_until, working
from tidemill.config import Settings
from tidemill.events import ImageProcessed, ImageRequested, JobCancel, JobProgress, Rendition

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTO = EXAMPLES / "photos" / "roman-colosseum.jpg"
EVENT = {"type": "image.requested", "payload": {"renditions": [{"name": "card", "width": 480, "format": "webp"}]}}
BEAT = JobSettings(beat_seconds=0.05, unknown_seconds=0.2, keep_alive_seconds=0.1)


def followed_soon(gateway: Running, settings: JobSettings = BEAT) -> None:
    """Let the gateway look for jobs more often than it does by default."""
    state: Any = gateway.server.config.app.state  # type: ignore[union-attr]
    state.job_desk = desk = JobDesk(gateway.gateway, settings)
    gateway.gateway.at_end.append(desk.close)


def form(event: dict[str, Any], file: bytes) -> bytes:
    parts = [
        (b'name="event"', json.dumps(event).encode()),
        (b'name="file"; filename="x.jpg"', file),
    ]
    body = b"".join(b"--XX\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % part for part in parts)
    return body + b"--XX--\r\n"


def upload(gateway: Running, file: bytes = PHOTO.read_bytes()) -> str:
    answer = gateway("POST", "/uploads", form(EVENT, file), Content_Type="multipart/form-data; boundary=XX")
    assert answer.status == 202, answer.body
    path: str = answer.json["job"]
    return path


def until_end(gateway: Running, job: str) -> list[Told]:
    with stream(gateway, job) as told:
        assert told.status == 200
        assert told.headers["x-accel-buffering"] == "no"
        return list(told)


def run(program: list[str], gateway: Running, result: Path) -> str:
    environment = {**os.environ, "GATEWAY": f"http://127.0.0.1:{gateway.port}"}
    command = [*program, str(PHOTO), str(result)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    return asyncio.to_thread(call, *arguments)


async def test_a_photograph_is_uploaded_followed_and_its_rendition_fetched(settings: Settings, tmp_path: Path) -> None:
    prepare(settings, ImageRequested, ImageProcessed, JobProgress)
    async with working(settings, image):
        with tracking(settings), running_gateway(settings) as gateway:
            followed_soon(gateway)
            await in_thread(follow_photographs, gateway, tmp_path)


def follow_photographs(gateway: Running, tmp_path: Path) -> None:
    jobs = [upload(gateway, photo) for photo in (PHOTO.read_bytes(), PHOTO.read_bytes()[:9000])]
    told, broken = (until_end(gateway, job) for job in jobs)
    assert broken[-1].name == "failed"
    assert "can't be decoded" in broken[-1].data["failures"][0]["message"]
    assert broken[-1].data["files"] == []
    programs = [["sh", str(EXAMPLES / "gateway" / "upload.sh")]]
    if shutil.which("node"):
        programs.append(["node", str(EXAMPLES / "gateway" / "upload.mjs")])
    results = [tmp_path / f"{number}.webp" for number in range(len(programs))]
    with ThreadPoolExecutor() as threads:
        said = list(threads.map(lambda program, result: run(program, gateway, result), programs, results))
    assert all("done" in text for text in said)
    assert [told[-1].name, told[-1].data["state"]] == ["done", "done"]
    job = jobs[0]
    (card,) = told[-1].data["files"]
    assert (card["name"], card["href"], card["media_type"]) == ("card", f"{job}/files/0", "image/webp")

    fetched = gateway("GET", f"{job}/files/card")
    picture = Image.open(io.BytesIO(fetched.body))
    assert (picture.format, picture.size) == ("WEBP", (480, 270))
    assert [result.read_bytes() == fetched.body for result in results] == [True] * len(results)
    assert fetched.headers["content-type"] == "image/webp"
    assert fetched.headers["content-disposition"] == 'inline; filename="card.webp"'
    assert fetched.headers["content-security-policy"] == "default-src 'none'; sandbox"

    part = gateway("GET", card["href"], Range="bytes=100-199", If_Range=fetched.headers["etag"])
    assert (part.status, part.body) == (206, fetched.body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(fetched.body)}"
    assert gateway("GET", card["href"], Range="bytes=0-9", If_Range='"other"').status == 200
    assert gateway("GET", card["href"], Range="bytes=999999-").status == 416
    head = gateway("HEAD", card["href"])
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(fetched.body)), b"")
    assert gateway("GET", card["href"], If_None_Match=fetched.headers["etag"]).status == 304
    assert gateway("GET", f"{job}/files/7").json["hint"] == "They are numbered from 0 and named card; the job is done."

    status = gateway("GET", f"{job}?events=1&wait=5")
    assert status.json["state"] == "done"
    assert {event["type"] for event in status.json["tree"]} == {"image.requested", "image.processed"}
    assert gateway("GET", job, If_None_Match=status.headers["etag"]).status == 304
    with stream(gateway, job, Last_Event_ID=told[-1].id) as again:
        assert again.status == 204
    with stream(gateway, job, Last_Event_ID="queued-1-0-1") as again:
        assert [event.name for event in again] == ["done"]


def test_a_job_is_told_while_it_waits_and_streams_are_bounded_until_the_gateway_stops(settings: Settings) -> None:
    prepare(settings, ImageRequested)
    request = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="card")])
    names: list[str] = []
    with tracking(settings), running_gateway(settings, requests=2) as gateway:
        followed_soon(gateway, BEAT.model_copy(update={"streams_per_token": 3}))
        job = f"/jobs/{publish(settings, [request])[0]}"
        until_folded(settings)
        with stream(gateway, job) as first:
            reader = threading.Thread(target=lambda: names.extend(event.name for event in first))
            reader.start()
            wait_until(lambda: names and first.comments > 1, "a state is told, and then signs of life")
            status = gateway("GET", f"{job}?wait=0.1")
            assert (status.status, status.json["state"]) == (200, "queued")
            assert gateway("GET", f"{job}?wait=0.1", If_None_Match=status.headers["etag"]).status == 304
            assert gateway("GET", f"{job}?wait=soon").status == 400
            assert gateway("GET", f"{job}/files/0").status == 404
            for path in ("", "/events", "/files/0", "?wait=0.1"):
                answer = gateway("GET", f"/jobs/0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f{path}")
                assert (answer.status, answer.json["type"]) == (404, "urn:tidemill:problem:not-found"), path

            with stream(gateway, job) as second, stream(gateway, job) as third:
                assert [second.status, third.status] == [200, 200]
                with stream(gateway, job) as fourth:
                    assert (fourth.status, fourth.headers["retry-after"]) == (429, "5")
                # They don't count among the requests at the same time, which are two at most here.
                assert gateway("GET", job).status == 200
            wait_until(lambda: gateway.gateway.lasting == 1, "the places of readers that have gone are free")
            with stream(gateway, job) as fifth:
                assert fifth.status == 200

            gateway.server.stop()
            reader.join(10)
            assert not reader.is_alive()
    assert names == ["state"]
    assert gateway.gateway.lasting == 0


def test_a_job_is_given_up_by_whom_that_was_granted(settings: Settings) -> None:
    prepare(settings, JobCancel)
    texts = new_tokens(
        settings,
        owner={"publish": ["job.cancel", "image.*"], "read_jobs": True},
        shop={"publish": ["*"]},
    )
    with running_gateway(settings, open=False) as gateway:

        def status(method: str, path: str, name: str, body: object = None) -> int:
            return gateway(method, path, body, Authorization=f"Bearer {texts[name]}").status

        assert status("POST", "/jobs/42/cancel", "shop", {"why": "wrong file"}) == 403
        assert status("POST", "/jobs/42/cancel", "owner", {"because": "wrong file"}) == 422
        assert status("POST", "/jobs/42/cancel", "owner", {"why": "wrong file"}) == 202
        # There is no tracker, so no table.
        assert status("GET", "/jobs/42", "owner") == 503
        assert status("GET", "/jobs/42/events", "owner") == 503
        assert {status("GET", f"/jobs/42{path}", "shop") for path in ("", "/events", "/files/0")} == {403}
    assert [event.payload for event in events(settings, JobCancel)] == [
        JobCancel(job="42", by="owner", why="wrong file")
    ]


def test_an_upload_that_is_cut_off_on_its_way_leaves_nothing(settings: Settings) -> None:
    with running_gateway(settings) as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        connection.putrequest("POST", "/uploads")
        connection.putheader("Content-Length", "3000000")
        connection.endheaders(PHOTO.read_bytes() * 5)
        state: Any = gateway.server.config.app.state  # type: ignore[union-attr]
        wait_until(lambda: getattr(state, "upload_desk", None) and state.upload_desk.places.taken, "it is under way")
        connection.close()
        wait_until(lambda: not state.upload_desk.places.taken, "it is given up")
        assert [path for path in settings.state_dir.rglob("*") if path.is_file()] == []
        assert gateway("POST", "/uploads", PHOTO.read_bytes()).status == 201
