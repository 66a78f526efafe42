"""A worker of the image stream is killed in the middle of its work: no picture is missing, no file is written twice."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from examples.demo.programs import running_workers
from tidemill.cli.app import prepare_contracts
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.publisher import Publisher
from tidemill.store import Store
from tidemill.tail import Tail

PICTURES = 500
RENDITIONS = [Rendition(name="card", width=240), Rendition(name="thumb", width=60, height=60, fit="cover")]
DEADLINE_SECONDS = 120.0

Results = dict[str, list[ImageProcessed]]


@pytest.fixture
def requests(settings: Settings) -> dict[str, ImageRequested]:
    """500 different pictures in the store, and the request for each under the id that it is published with."""
    store = Store.from_settings(settings)
    folder = settings.state_dir / "made"
    folder.mkdir(parents=True)
    luck = random.Random(7)
    found = {}
    for number in range(PICTURES):
        picture = Image.effect_noise((32, 24), 90).resize((480, 360), Image.Resampling.BICUBIC).convert("RGB")
        picture.paste(tuple(luck.randrange(256) for _ in range(3)), (0, 0, 240, 180))
        path = folder / f"{number}.jpg"
        picture.save(path, quality=88)
        data = path.read_bytes()
        uri = store.write(f"uploads/{hashlib.sha256(data).hexdigest()}", data, "image/jpeg").uri
        found[f"picture-{number}"] = ImageRequested(source=uri, renditions=RENDITIONS)
    assert len({request.source for request in found.values()}) == PICTURES
    return found


def test_no_picture_is_missing_after_a_kill_and_a_second_run_writes_nothing(
    settings: Settings, requests: dict[str, ImageRequested], tmp_path: Path
) -> None:
    list(prepare_contracts(settings))
    made = settings.state_dir / "objects" / "images"
    with (
        Tail(settings, [ImageProcessed.__contract__.topic]) as tail,
        running_workers(settings, tmp_path / "workers.log", processes=2) as supervisor,
    ):
        results: Results = {}
        _publish(settings, requests)
        killed = False
        for count in _collect(settings, tail, results):
            if count > PICTURES // 3 and not killed:
                _kill_a_worker(supervisor.pid)
                killed = True
        log = (tmp_path / "workers.log").read_text(encoding="utf-8")
        assert killed
        assert "was killed by SIGKILL; starting it again" in log
        assert results.keys() == requests.keys(), log[-4000:]
        _assert_files_are_right(settings, results)
        before = _tree(made)
        assert len(before) == len({made.uri for some in results.values() for made in some[0].renditions})

        # The same events once more, as a replay or a publisher in doubt would send them.
        again: Results = {}
        _publish(settings, requests)
        for _ in _collect(settings, tail, again):
            pass
        assert again.keys() == requests.keys()
        assert _tree(made) == before
        assert all(again[key][0] == results[key][0] for key in requests)


def _publish(settings: Settings, requests: dict[str, ImageRequested]) -> None:
    with Publisher(settings) as publisher:
        for key, request in requests.items():
            publisher.publish(request, id=key)


def _collect(settings: Settings, tail: Tail, results: Results) -> Iterator[int]:
    """Gather results by the id of the request, until there is one for each."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with Registry(settings) as registry:
        codec = Codec(registry)
        while len(results) < PICTURES and time.monotonic() < deadline:
            for message in tail.read(0.5):
                cause = Event.received(None, message).cause
                assert cause is not None
                results.setdefault(cause, []).append(codec.decode(message.value(), ImageProcessed))
            yield len(results)


def _kill_a_worker(supervisor: int) -> None:
    workers = [each for each in psutil.Process(supervisor).children() if "tidemill.runtime.process" in each.cmdline()]
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)


def _assert_files_are_right(settings: Settings, results: Results) -> None:
    store = Store.from_settings(settings)
    for some in results.values():
        for result in some:
            # An event that ran twice gave the same: same names, same bytes.
            assert result == some[0]
        for rendition in some[0].renditions:
            data = store.read(rendition.uri, 1_000_000)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (rendition.bytes, rendition.sha256)


def _tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Each file with its inode, size and time of change: whatever writes it again changes one of them."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }
