"""`tidemill video`: videos through the stream from the command line, how far each is, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from streams.video.jobs import VideoJob, VideoJobs
    from tidemill.events import VideoFile, VideoRequested
    from tidemill.store import Store

EPILOG = """
\b
Examples:
  tidemill video talk.mov                                 MP4 and WebM of 720 lines and a poster, in the store
  tidemill video *.mp4 --mp4 1080 --mp4 480 --out small/  two sizes each, copied to a folder
  tidemill video talk.mov --poster-at 12.5 --preview --preview-format gif
  tidemill video talk.mov --json | jq -r '.[].files[].uri'

\b
A worker must run: tidemill worker video
"""

EXTENSIONS = {"image/jpeg": "jpg", "image/webp": "webp", "image/png": "png", "image/gif": "gif"}


@command
def video(
    files: Annotated[list[Path], typer.Argument(help="Videos.", exists=True, dir_okay=False)],
    mp4: Annotated[
        list[int] | None, typer.Option(min=2, help="MP4 with this shorter side, e.g. 720; several make several.")
    ] = None,
    webm: Annotated[list[int] | None, typer.Option(min=2, help="The same as WebM.")] = None,
    poster: Annotated[bool, typer.Option("--poster", help="A typical picture, as JPEG and WebP.")] = False,
    poster_at: Annotated[float | None, typer.Option(min=0, help="The picture at this second instead.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="A short animation of pieces from all over it.")] = False,
    preview_format: Annotated[str, typer.Option(help="webp, gif or mp4.")] = "webp",
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="Quality, smaller is better (mp4: to 51).")] = None,
    audio: Annotated[bool, typer.Option(help="Whether to take the sound along.")] = True,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Copy the files into this folder.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for a sign of progress, seconds.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON.")] = False,
) -> None:
    """Send videos through the video stream and wait for their versions."""
    from streams.video.jobs import VideoJobs
    from streams.video.settings import load_video_settings
    from tidemill.codec import Codec
    from tidemill.config import load_settings
    from tidemill.contracts.registry import Registry
    from tidemill.publisher import Publisher
    from tidemill.store import Store
    from tidemill.tail import Tail

    settings = load_settings()
    wanted = _wanted(mp4 or [], webm or [], poster, poster_at, preview, preview_format, crf, audio)
    store = Store.from_settings(settings)
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (
        Registry(settings) as registry,
        Tail(settings, VideoJobs.TOPICS) as tail,
        Publisher(settings, codec=(codec := Codec(registry))) as publisher,
    ):
        jobs = VideoJobs(publisher, store, codec, tail, load_video_settings())
        for file in files:
            jobs.submit(file, wanted)
        publisher.flush()
        _watch(jobs, timeout)
    done = list(jobs.jobs.values())
    if out_dir is not None:
        for job in done:
            _copy(job, store, out_dir)
    if as_json:
        print_json([_facts(job) for job in done])
    else:
        show(done, time.monotonic() - began)
    raise typer.Exit(_verdict(jobs, timeout))


def register(app: typer.Typer) -> None:
    """Add the command to `tidemill`; the entry point `tidemill.commands`."""
    app.command(epilog=EPILOG)(video)


def show(jobs: Sequence[VideoJob], seconds: float) -> None:
    """Print what became of each video: a table, notes, the failures with their reasons, and a line of totals."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("video", "original", "file", "size", "codecs"):
        table.add_column(heading)
    for heading in ("plays", "kB", "seconds"):
        table.add_column(heading, justify="right")
    done = [(job, job.result) for job in jobs if job.result is not None]
    for job, result in done:
        original = result.original
        left = [job.file.name, f"{original.width}x{original.height} {original.video_codec}, {original.seconds:.1f} s"]
        for file in result.files:
            plays = "" if file.seconds is None else f"{file.seconds:.1f} s"
            made = [file.name, f"{file.width}x{file.height}", _codecs(file), plays, f"{file.bytes / 1000:,.1f}"]
            table.add_row(*left, *made, f"{job.seconds:.1f}" if left[0] else "")
            left = ["", ""]
    if done:
        out.print(table)
    for job, result in done:
        for note in result.notes:
            out.print(f"{job.file.name}: {note}", markup=False, soft_wrap=True)
    for job in jobs:
        if job.failure is not None:
            out.print(f"[red]✗[/] {job.file.name} became a dead letter: ", end="")
            out.print(job.failure, markup=False, soft_wrap=True)
    made_count = sum(len(result.files) for _, result in done)
    out.print(f"{len(done)} of {len(jobs)} videos, {made_count} files in {seconds:.1f} s")


def _watch(jobs: VideoJobs, timeout: float) -> None:
    """Wait for all outcomes, with a bar for each video."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[file]}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        bars = {
            job.id: progress.add_task("waiting for a worker", total=None, file=job.file.name)
            for job in jobs.jobs.values()
        }

        def advance(job: VideoJob) -> None:
            if job.progress is not None:
                said = job.progress
                progress.update(bars[job.id], total=said.total, completed=said.done, description=said.note or "")

        for job in jobs.outcomes(timeout, advance):
            progress.update(bars[job.id], total=1, completed=1, description="failed" if job.failure else "done")


def _wanted(
    mp4: list[int],
    webm: list[int],
    poster: bool,
    poster_at: float | None,
    preview: bool,
    preview_format: str,
    crf: int | None,
    audio: bool,
) -> VideoRequested:
    from tidemill.events import (
        PreviewFormat,
        VideoContainer,
        VideoOutput,
        VideoPoster,
        VideoPreview,
        VideoRequested,
    )

    if not mp4 and not webm and not poster and poster_at is None and not preview:
        mp4, webm, poster = [720], [720], True
    if preview_format not in get_args(PreviewFormat):
        raise typer.BadParameter(f"{preview_format!r} isn't webp, gif or mp4.", param_hint="--preview-format")
    asked: dict[VideoContainer, list[int]] = {"mp4": mp4, "webm": webm}
    outputs = [
        VideoOutput(name=f"{side}p-{container}", container=container, short_side=side, crf=crf, audio=audio)
        for container, sides in asked.items()
        for side in dict.fromkeys(sides)
    ]
    still = VideoPoster(at=poster_at, formats=["jpeg", "webp"]) if poster or poster_at is not None else None
    moving = VideoPreview(format=cast("PreviewFormat", preview_format)) if preview else None
    # The source is filled in for each file.
    return VideoRequested(source="", outputs=outputs, poster=still, preview=moving)


def _codecs(file: VideoFile) -> str:
    if file.video_codec is None:
        return file.content_type.removeprefix("image/")
    return " + ".join(codec for codec in (file.video_codec, file.audio_codec) if codec)


def _copy(job: VideoJob, store: Store, folder: Path) -> None:
    for file in job.result.files if job.result is not None else ():
        extension = EXTENSIONS.get(file.content_type) or file.content_type.removeprefix("video/")
        store.fetch(file.uri, folder / f"{job.file.stem}-{file.name}.{extension}", file.bytes)


def _facts(job: VideoJob) -> dict[str, Any]:
    from dataclasses import asdict

    facts: dict[str, Any] = {
        "file": str(job.file),
        "id": job.id,
        "source": job.request.source,
        "seconds": job.seconds,
        "failure": job.failure,
    }
    if job.result is not None:
        facts |= {name: value for name, value in asdict(job.result).items() if name != "source"}
    return facts


def _verdict(jobs: VideoJobs, timeout: float) -> int:
    waiting = jobs.waiting
    if waiting:
        err.print(f"[red]✗[/] nothing was heard of {len(waiting)} videos within {timeout:g} s:", waiting[0].file.name)
        err.print("[bold]next:[/]  Is a worker running? `tidemill worker video` starts one; nothing is lost meanwhile.")
        return 1
    return 1 if any(job.failure is not None for job in jobs.jobs.values()) else 0
