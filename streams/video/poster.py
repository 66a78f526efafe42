"""The arguments with which ffmpeg makes a poster. Computes only.

Without a moment asked for, it is the picture whose colours are closest to those of all: not a black beginning, nor a
single bright flash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.video.geometry import fit
from streams.video.pictures import Target, plain, resized
from streams.video.probe import Picture
from streams.video.transcode import PLAIN_FILE, Planned
from tidemill.errors import Reject
from tidemill.events import VideoPoster

CONTENT_TYPES = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}

CANDIDATES = 60
CANDIDATES_BYTES = 256 * 1024**2
"""All candidates are held in memory at once."""
SHORT_SECONDS = 60.0
"""Shorter videos are decoded whole; of longer ones only the key pictures are, which cost a hundredth."""
LOOKED_AT_SECONDS = 900.0

_TARGETS: dict[str, Target] = {"jpeg": "jpeg", "webp": "webp", "png": "rgb"}
_ENCODERS = {
    "jpeg": ["-c:v", "mjpeg", "-q:v", "3", "-huffman", "optimal"],
    "webp": ["-c:v", "libwebp", "-quality", "82", "-compression_level", "5"],
    "png": ["-c:v", "png", "-pred", "mixed"],
}


@dataclass(frozen=True)
class PosterRun:
    """How ffmpeg is to be run: options of its one input, what follows, and the files that come of it."""

    input: Sequence[str]
    arguments: Sequence[str]
    files: Sequence[Planned]


def plan_poster(poster: VideoPoster, picture: Picture, seconds: float, folder: Path) -> PosterRun:
    """How to make a poster.

    Args:
        poster: What is asked for.
        picture: The source's.
        seconds: How long the source plays.
        folder: Where the files go.

    Raises:
        Reject: The moment that is asked for comes after the end.
    """
    if poster.at is not None and poster.at > seconds:
        raise Reject(
            f"poster.at is {poster.at:g} s; the video plays for {seconds:.2f} s.",
            hint="Ask for an earlier moment, or for none to get a typical picture.",
        )
    size = fit(picture.shown, width=poster.width, height=poster.height)
    options: list[str] = []
    choice: list[str] = []
    if poster.at is not None:
        # The last picture begins before the end.
        options = ["-ss", f"{max(0.0, min(poster.at, seconds - 1 / (picture.fps or 10))):.3f}"]
    else:
        count = max(2, min(CANDIDATES, CANDIDATES_BYTES // (size.width * size.height * 3 // 2)))
        choice = [f"thumbnail=n={count}"]
        if seconds > SHORT_SECONDS:
            options = ["-skip_frame", "nokey", "-t", f"{LOOKED_AT_SECONDS:g}"]
        elif seconds > 1:
            choice = [f"fps={min(4.0, count / seconds):.4f}", *choice]
    files = [Planned(folder / f"poster-{index}.{name}", size) for index, name in enumerate(poster.formats)]
    branches = "".join(f"[s{index}]" for index in range(len(files)))
    shared = [*plain(picture, size), f"scale={size.width}:{size.height}:flags=bicubic", *choice]
    graph = [f"[0:V:0]{','.join(shared)},split={len(files)}{branches}"]
    arguments: list[str] = []
    for index, (name, file) in enumerate(zip(poster.formats, files, strict=True)):
        graph.append(f"[s{index}]{','.join(resized(picture, size, _TARGETS[name]))}[v{index}]")
        arguments += ["-map", f"[v{index}]", "-frames:v", "1", *_ENCODERS[name], *PLAIN_FILE]
        arguments += ["-f", "image2", "-update", "1", "-y", f"file:{file.path}"]
    return PosterRun(options, ["-filter_complex", ";".join(graph), *arguments], files)
