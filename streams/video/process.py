"""The work for one event: fetch the video, make its files, put them into the store under names made from their content.

Without Kafka, so that it can be run and tested anywhere, and in a process of its own. Doing the same event again makes
the same files under the same names; one that was ended half-way leaves nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from streams.video import poster, preview, transcode
from streams.video.ffmpeg import Ffmpeg
from streams.video.poster import plan_poster
from streams.video.preview import plan_preview
from streams.video.probe import read_probe
from streams.video.request import check_request
from streams.video.settings import VideoSettings
from streams.video.source import Source, open_source
from streams.video.transcode import Planned, plan_outputs, transcode_arguments
from streams.video.workspace import check_room, workspace
from tidemill.errors import Reject
from tidemill.events import VideoFile, VideoFileKind, VideoOriginal, VideoProcessed, VideoRequested
from tidemill.store import Store

UNIT = "seconds of video"


class Progress(Protocol):
    """Is told how far the work is: `Work.progress`."""

    def __call__(
        self, done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
    ) -> None: ...


def process(
    request: VideoRequested,
    store: Store,
    settings: VideoSettings,
    progress: Progress,
    *,
    remaining_seconds: float | None = None,
) -> VideoProcessed:
    """Make and store what an event asks for.

    Args:
        request: The event.
        store: Where the video is read and its files are written.
        settings: Limits and defaults.
        progress: Is told how many seconds of video are done.
        remaining_seconds: Time left, if there is less than the settings allow.

    Raises:
        Reject: The request or the video can't be processed; trying again doesn't help.
        HandlerError: Something failed for now: too little disk or time, or ffmpeg was killed.
        StoreError: The video can't be read or a file can't be written (`retriable` says whether for now).
    """
    check_request(request, settings)
    seconds = min(settings.max_wall_seconds, remaining_seconds or settings.max_wall_seconds)
    ffmpeg = Ffmpeg(settings, time.monotonic() + seconds)
    with workspace(settings.work_dir) as folder:
        progress(note="fetching")
        path = folder / "source"
        check_room(folder, store.head(request.source).size_bytes, settings.min_free_bytes)
        size_bytes = store.fetch(request.source, path, settings.max_bytes)
        source_sha256 = _sha256(path)
        if request.source_sha256 not in (None, source_sha256):
            raise Reject(
                f"The video isn't the one that was meant: its SHA-256 is {source_sha256}, expected "
                f"{request.source_sha256}.",
                hint="It was replaced or cut off since the event was published; publish a new event.",
            )
        progress(note="reading through")
        source = open_source(path, ffmpeg, settings)
        making = _Making(source, source_sha256, folder, ffmpeg, store, settings, progress)
        return VideoProcessed(
            source=request.source,
            original=_original(source, source_sha256, size_bytes),
            files=[*making.outputs(request), *making.poster(request), *making.preview(request)],
            notes=list(source.notes),
        )


class _Making:
    """Makes the files of one source, one kind after the other."""

    def __init__(
        self,
        source: Source,
        source_sha256: str,
        folder: Path,
        ffmpeg: Ffmpeg,
        store: Store,
        settings: VideoSettings,
        progress: Progress,
    ) -> None:
        self._source = source
        self._source_sha256 = source_sha256
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._store = store
        self._settings = settings
        self._progress = progress

    def outputs(self, request: VideoRequested) -> Iterator[VideoFile]:
        if not request.outputs:
            return
        source = self._source
        planned = plan_outputs(request.outputs, source.picture, self._folder)
        names = ", ".join(output.name for output in request.outputs)

        furthest = 0.0

        def written(seconds: float) -> None:
            # ffmpeg tells where any of the outputs is, now of this one and now of that one.
            nonlocal furthest
            furthest = max(furthest, min(seconds, source.seconds))
            self._tell(furthest, f"encoding {names}")

        arguments = transcode_arguments(request.outputs, planned, source.picture, source.sound, self._settings)
        self._ffmpeg.run(source.path, [[]], arguments, on_progress=written)
        for output, each in zip(request.outputs, planned, strict=True):
            yield self._video(output.name, "output", each, transcode.CONTENT_TYPES[output.container])

    def poster(self, request: VideoRequested) -> Iterator[VideoFile]:
        if request.poster is None:
            return
        source = self._source
        self._tell(source.seconds, "making the poster")
        run = plan_poster(request.poster, source.picture, source.seconds, self._folder)
        self._ffmpeg.run(source.path, [run.input], run.arguments)
        for name, each in zip(request.poster.formats, run.files, strict=True):
            yield self._stored("poster", "poster", each, poster.CONTENT_TYPES[name])

    def preview(self, request: VideoRequested) -> Iterator[VideoFile]:
        if request.preview is None:
            return
        source = self._source
        self._tell(source.seconds, "making the preview")
        run = plan_preview(request.preview, source.picture, source.seconds, self._settings, self._folder)
        self._ffmpeg.run(source.path, run.inputs, run.arguments)
        content_type = preview.CONTENT_TYPES[request.preview.format]
        if request.preview.format == "mp4":
            yield self._video("preview", "preview", run.file, content_type)
        else:
            length = sum(length for _, length in preview.pieces(request.preview.seconds, source.seconds))
            yield self._stored("preview", "preview", run.file, content_type, seconds=round(length, 3))

    def _video(self, name: str, kind: VideoFileKind, file: Planned, content_type: str) -> VideoFile:
        """Store a video, with the facts that are in it."""
        self._check_made(file)
        arguments = ["-map", "0", "-c", "copy", "-f", "null", "-"]
        found = read_probe(self._ffmpeg.run(file.path, [[]], arguments, log_level="info"))
        if found.picture is None or found.claimed_seconds is None:
            raise Reject("No picture of the video could be decoded.", hint="It is damaged: send it again.")
        return self._stored(
            name,
            kind,
            file,
            content_type,
            seconds=found.claimed_seconds,
            video_codec=found.picture.codec,
            audio_codec=found.sound.codec if found.sound is not None else None,
        )

    def _stored(
        self,
        name: str,
        kind: VideoFileKind,
        file: Planned,
        content_type: str,
        *,
        seconds: float | None = None,
        video_codec: str | None = None,
        audio_codec: str | None = None,
    ) -> VideoFile:
        self._check_made(file)
        sha256 = _sha256(file.path)
        extension = file.path.suffix.removeprefix(".").replace("jpeg", "jpg")
        size_bytes = file.path.stat().st_size
        written = self._store.put(object_name(self._source_sha256, sha256, extension), file.path, content_type)
        return VideoFile(
            name=name,
            kind=kind,
            uri=written.uri,
            sha256=sha256,
            bytes=size_bytes,
            content_type=content_type,
            width=file.size.width,
            height=file.size.height,
            seconds=seconds,
            video_codec=video_codec,
            audio_codec=audio_codec,
            bit_rate=round(size_bytes * 8 / seconds) if seconds and video_codec else None,
        )

    def _check_made(self, file: Planned) -> None:
        if not file.path.exists() or file.path.stat().st_size == 0:
            raise Reject("No picture of the video could be decoded.", hint="It is damaged: send it again.")

    def _tell(self, seconds: float, note: str) -> None:
        self._progress(round(seconds), round(self._source.seconds), unit=UNIT, note=note)


def object_name(source_sha256: str, sha256: str, extension: str) -> str:
    """Where a file is kept: below its source, named by its own content, so that nothing else can be under this name."""
    return f"videos/{source_sha256[:2]}/{source_sha256}/{sha256}.{extension}"


def _original(source: Source, sha256: str, size_bytes: int) -> VideoOriginal:
    picture = source.picture
    return VideoOriginal(
        sha256=sha256,
        bytes=size_bytes,
        format=source.format,
        seconds=source.seconds,
        width=picture.shown.width,
        height=picture.shown.height,
        rotation=picture.rotation,
        video_codec=picture.codec,
        pixel_format=picture.pixel_format,
        hdr=picture.hdr,
        fps=picture.fps,
        audio_codec=source.sound.codec if source.sound is not None else None,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
