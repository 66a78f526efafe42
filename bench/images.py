"""How fast pictures are made: a bare loop of two processes, without Kafka, that reads, renders and writes files.

It does the image stream's own rendering, so that what the stream adds around it (events, store, commits) can be told.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.figures import Figure, median_of
from bench.photographs import photographs
from streams.image.encode import EXTENSIONS
from streams.image.render import render
from streams.image.settings import ImageSettings
from tidemill.config import Settings
from tidemill.events import Rendition

PROCESSES = 2
COUNT, QUICK_COUNT = 200, 20
RENDITIONS = (
    Rendition(name="large", width=1600, height=1600, format="jpeg"),
    Rendition(name="medium", width=800, height=800, format="jpeg"),
    Rendition(name="thumb", width=200, height=200, format="jpeg"),
)


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Images per second of the bare loop."""
    paths = photographs(settings.cache_dir, QUICK_COUNT if quick else COUNT)
    with tempfile.TemporaryDirectory() as out:
        rates = [bare_images_per_second(paths, Path(out)) for _ in range(1 if quick else 3)]
    return [median_of(f"bare loop, {PROCESSES} processes, 12 Mpx JPEG to 1600, 800, 200 px", rates, "images/s")]


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
