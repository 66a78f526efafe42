"""The arguments with which ffmpeg makes a preview: pieces from all over the video in a row. Computes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.video.geometry import fit
from streams.video.pictures import Target, plain, resized
from streams.video.probe import Picture
from streams.video.settings import VideoSettings
from streams.video.transcode import PLAIN_FILE, Planned
from tidemill.events import VideoPreview

CONTENT_TYPES = {"webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4"}

PIECES = 4
LEAST_PIECE_SECONDS = 0.5

_FPS = {"webp": 12, "gif": 10, "mp4": 24}
_TARGETS: dict[str, Target] = {"webp": "webp", "gif": "rgb", "mp4": "video"}


@dataclass(frozen=True)
class PreviewRun:
    """How ffmpeg is to be run: options of each of its inputs, what follows, and the file that comes of it."""

    inputs: Sequence[Sequence[str]]
    arguments: Sequence[str]
    file: Planned


def pieces(seconds: float, total_seconds: float) -> list[tuple[float, float]]:
    """Start and length, in seconds, of what is shown of a video.

    Args:
        seconds: How long the preview is to be.
        total_seconds: How long the video plays.
    """
    count = min(PIECES, int(seconds / LEAST_PIECE_SECONDS))
    if count < 2 or total_seconds < 2 * seconds:
        # Its beginning: pieces of something so short would be next to each other.
        return [(0.0, min(seconds, total_seconds))]
    length = seconds / count
    return [(total_seconds * (index + 0.5) / count - length / 2, length) for index in range(count)]


def plan_preview(
    preview: VideoPreview, picture: Picture, seconds: float, settings: VideoSettings, folder: Path
) -> PreviewRun:
    """How to make a preview.

    Args:
        preview: What is asked for.
        picture: The source's.
        seconds: How long the source plays.
        settings: The encoder's threads.
        folder: Where the file goes.
    """
    file = Planned(folder / f"preview.{preview.format}", fit(picture.shown, width=preview.width))
    parts = pieces(preview.seconds, seconds)
    filters = [*plain(picture, file.size), f"fps={_FPS[preview.format]}:eof_action=pass"]
    filters += resized(picture, file.size, _TARGETS[preview.format])
    graph = [f"[{index}:V:0]{','.join(filters)}[p{index}]" for index in range(len(parts))]
    joined = "".join(f"[p{index}]" for index in range(len(parts)))
    graph.append(f"{joined}concat=n={len(parts)}:v=1:a=0[all]")
    if preview.format == "gif":
        graph.append("[all]split[colors][pictures]")
        graph.append("[colors]palettegen=max_colors=128:stats_mode=diff[palette]")
        graph.append("[pictures][palette]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle[out]")
    else:
        graph.append("[all]null[out]")
    encoder = {
        "webp": ["-c:v", "libwebp_anim", "-loop", "0", "-quality", "60", "-compression_level", "4", "-f", "webp"],
        "gif": ["-loop", "0", "-f", "gif"],
        "mp4": [
            *("-c:v", "libx264", "-preset", settings.mp4_preset, "-crf", "26", "-threads", str(settings.threads)),
            *("-movflags", "+faststart", "-f", "mp4"),
        ],
    }[preview.format]
    return PreviewRun(
        [["-ss", f"{start:.3f}", "-t", f"{length:.3f}"] for start, length in parts],
        ["-filter_complex", ";".join(graph), "-map", "[out]", *PLAIN_FILE, *encoder, "-y", f"file:{file.path}"],
        file,
    )
