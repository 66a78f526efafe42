"""Small videos for the tests of the video stream, made by the ffmpeg that the stream itself uses."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.video.ffmpeg import executable
from streams.video.process import process
from streams.video.settings import VideoSettings
from tidemill.config import load_settings
from tidemill.events import VideoOutput, VideoProcessed, VideoRequested
from tidemill.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples" / "video"
TRAVEL = EXAMPLES / "travel.mp4"
UPRIGHT = EXAMPLES / "upright.mov"

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def run_ffmpeg(*arguments: str) -> None:
    """Run the stream's ffmpeg without any limit."""
    command = [str(executable(VideoSettings())), "-v", "error", "-nostdin", "-y", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def make_clip(
    path: Path,
    *encoding: str,
    size: str = "64x48",
    seconds: float = 1.0,
    fps: int = 10,
    filters: str = "null",
    sound: str | None = "sine=440",
) -> Path:
    """A clip of moving bars; the sound is a lavfi source, None for a silent film."""
    inputs = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds},{filters}"]
    if sound is not None:
        inputs += ["-f", "lavfi", "-i", f"{sound}:d={seconds}" if "=" in sound else sound]
    run_ffmpeg(*inputs, *(encoding or H264), "-shortest", str(path))
    return path


@dataclass
class Told:
    """Records what `work.progress` is told."""

    calls: list[tuple[int | None, int | None, str | None, str | None]] = field(default_factory=list)

    def __call__(
        self, done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
    ) -> None:
        self.calls.append((done, total, unit, note))


@dataclass
class Bench:
    """A store, a work folder and settings of a test's own.

    Args:
        folder: The test's.
        settings: Fields of VideoSettings.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.told = Told()
        self.uploads = self.folder / "uploads"
        self.uploads.mkdir(exist_ok=True)
        self.store = Store.from_settings(
            load_settings(store_url=(self.folder / "objects").as_uri(), store_allow=[self.uploads.as_uri()])
        )

    def upload(self, data: bytes | Path, name: str = "upload.mp4") -> Path:
        """Put a source where the stream may read it."""
        path = self.uploads / name
        path.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
        return path

    def process(
        self,
        source: Path | str,
        outputs: Sequence[VideoOutput] = (),
        *,
        remaining_seconds: float | None = None,
        **fields: Any,
    ) -> VideoProcessed:
        """Run the work for one event, on a file that is uploaded first, or on a URI as it is."""
        if not outputs and not {"poster", "preview"} & set(fields):
            outputs = [VideoOutput(name="small", container="mp4")]
        if isinstance(source, Path):
            source = (source if source.parent == self.uploads else self.upload(source, source.name)).as_uri()
        return process(
            VideoRequested(source=source, outputs=list(outputs), **fields),
            self.store,
            VideoSettings(work_dir=self.work_dir, **{"min_free_bytes": 0} | self.settings),
            self.told,
            remaining_seconds=remaining_seconds,
        )

    @property
    def work_dir(self) -> Path:
        return self.folder / "work"

    def left_behind(self) -> list[Path]:
        """What is in the work folder now."""
        return list(self.work_dir.rglob("*"))

    def objects(self) -> dict[str, int]:
        """The objects that were written, with the time of each."""
        return {str(path): path.stat().st_mtime_ns for path in (self.folder / "objects").rglob("*") if path.is_file()}


def path_of(uri: str) -> Path:
    """The file behind a file:// URI of the tests."""
    return Path(uri.removeprefix("file://"))
