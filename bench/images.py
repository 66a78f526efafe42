"""How fast pictures are made: a worker of the image stream with two processes, beside a bare loop of two processes.

The bare loop reads files, does the stream's own rendering and writes files, without Kafka, events, commits or fsync, so
that what the stream adds around the rendering can be told. Both are started and warm before the clock is.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.figures import Figure, median_of, ratios
from bench.ground import Ground, program_variables
from bench.photographs import photographs
from bench.programs import running
from streams.image.encode import EXTENSIONS
from streams.image.render import render
from streams.image.settings import ImageSettings
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.publisher import Publisher
from tidemill.tail import Tail

TITLE = "images"
PROCESSES = 2
COUNT, QUICK_COUNT = 200, 20
RENDITIONS = (
    Rendition(name="large", width=1600, height=1600, format="jpeg"),
    Rendition(name="medium", width=800, height=800, format="jpeg"),
    Rendition(name="thumb", width=200, height=200, format="jpeg"),
)


def run(ground: Ground) -> list[Figure]:
    """Images per second of the stream and of the bare loop, in turn."""
    paths = photographs(ground.settings.cache_dir, QUICK_COUNT if ground.quick else COUNT)
    ours: list[float] = []
    bare: list[float] = []
    for _ in ground.rounds:
        with tempfile.TemporaryDirectory() as out:
            bare.append(bare_images_per_second(paths, Path(out)))
        with tempfile.TemporaryDirectory() as out:
            ours.append(stream_images_per_second(ground.settings, paths, Path(out)))
        ground.say(f"bare loop {bare[-1]:.2f} images/s, stream {ours[-1]:.2f}")
    return [
        median_of(f"{TITLE}, bare loop", bare, "images/s", contender="bare"),
        median_of(TITLE, ours, "images/s", contender="tidemill"),
        median_of(f"{TITLE}, beside the bare loop", ratios(ours, bare), "x", contender="tidemill", least=0.9),
    ]


def stream_images_per_second(settings: Settings, paths: Sequence[Path], out: Path) -> float:
    """Publish a request for each picture and wait for all results; every renditions' file is written anew.

    Args:
        settings: Addresses.
        paths: The pictures.
        out: Folder of the object store.
    """
    own = settings.model_copy(
        update={"store_url": out.absolute().as_uri(), "store_allow": [paths[0].parent.absolute().as_uri() + "/"]}
    )
    command = [sys.executable, "-m", "tidemill", "worker", "image", "--concurrency", str(PROCESSES)]
    with (
        Tail(own, [ImageProcessed.__contract__.topic]) as tail,
        Publisher(own) as publisher,
        running(command, program_variables(own, TIDEMILL_STORE_URL=own.object_store)),
    ):
        _round_trip(publisher, tail, [path.absolute().as_uri() for path in paths[: 4 * PROCESSES]])
        shutil.rmtree(out / "images")
        started = time.perf_counter()
        _round_trip(publisher, tail, [path.absolute().as_uri() for path in paths])
        return len(paths) / (time.perf_counter() - started)


def _round_trip(publisher: Publisher, tail: Tail, sources: Sequence[str]) -> None:
    waiting = {publisher.publish(ImageRequested(source=source, renditions=list(RENDITIONS))).id for source in sources}
    deadline = time.monotonic() + 300
    while waiting:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} of {len(sources)} pictures have no result")
        for message in tail.read(1.0):
            waiting.discard(Event.received(None, message).cause or "")


def bare_images_per_second(paths: Sequence[Path], out: Path, processes: int = PROCESSES) -> float:
    """Render each picture and write its renditions; the processes are started and warm before the clock is.

    Args:
        paths: The pictures.
        out: Folder for the renditions.
        processes: How many work at once.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        # Longer than one takes to start, so that every process gets some.
        list(pool.map(_render_one, paths[: 4 * processes], [out] * 4 * processes))
        started = time.perf_counter()
        made = sum(pool.map(_render_one, paths, [out] * len(paths)))
        elapsed_seconds = time.perf_counter() - started
    if made != len(paths) * len(RENDITIONS):
        raise RuntimeError(f"{made} renditions were made of {len(paths)} pictures")
    return len(paths) / elapsed_seconds


def _render_one(path: Path, out: Path) -> int:
    rendered = render(path.read_bytes(), RENDITIONS, ImageSettings())
    for file in rendered.files:
        (out / f"{path.stem}-{file.name}.{EXTENSIONS[file.format]}").write_bytes(file.data)
    return len(rendered.files)
