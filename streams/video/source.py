"""A video's file, looked at and read through before anything is made of it.

Relies on ffmpeg (`ffmpeg.py`) for its structure. What it claims is not believed: how long it plays is found by reading
all of it, which costs what reading a file costs. Nothing is decoded here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from streams.video import codecs
from streams.video.ffmpeg import Ffmpeg
from streams.video.probe import Picture, Probe, Sound, read_probe
from streams.video.settings import VideoSettings
from tidemill.errors import Reject

TOLERATED_SECONDS = 1.0
TOLERATED_SHARE = 0.02
"""What a source says of its length is rounded, and subtitles may end later than its pictures."""


@dataclass(frozen=True)
class Source:
    """A video that is worth the work.

    Attributes:
        path: Where it is.
        format: The container, in FFmpeg's words.
        seconds: How long it plays.
        picture, sound: The streams that are used; a video may be without sound.
        notes: What is left aside, in words.
    """

    path: Path
    format: str
    seconds: float
    picture: Picture
    sound: Sound | None
    notes: tuple[str, ...]


def open_source(path: Path, ffmpeg: Ffmpeg, settings: VideoSettings) -> Source:
    """Look at a video and check it against the limits.

    Args:
        path: The file.
        ffmpeg: Looks at it.
        settings: Limits.

    Raises:
        Reject: It is no video of an allowed format, is broken, or is over a limit.
        HandlerError: It could not be looked at, because of this machine.
    """
    if path.stat().st_size == 0:
        raise Reject("The video is empty: 0 bytes.", hint="Its upload failed before the first byte.")
    read_seconds = 0.0

    def reached(seconds: float) -> None:
        nonlocal read_seconds
        read_seconds = max(read_seconds, seconds)

    try:
        said = ffmpeg.run(
            path,
            [[]],
            ["-map", "0", "-ignore_unknown", "-c", "copy", "-f", "null", "-"],
            log_level="info",
            on_progress=reached,
        )
    except Reject as error:
        # Without a container's facts this is no video at all.
        if "Input #0" in error.message:
            raise
        raise Reject(
            f"It is no video of an allowed format ({', '.join(settings.formats)}): {error.message}",
            hint="Formats are told by content, not by name. Playlists and pictures are no videos.",
        ) from error
    probe = read_probe(said)
    return _checked(path, probe, read_seconds, settings)


def _checked(path: Path, probe: Probe, read_seconds: float, settings: VideoSettings) -> Source:
    picture = probe.picture
    if picture is None:
        found = f"only {probe.stills} attached still pictures" if probe.stills else "none"
        raise Reject(f"A video needs moving pictures; this file ({probe.format}) has {found}.")
    if probe.streams > settings.max_streams:
        raise Reject(f"The video has more than {settings.max_streams} streams.")
    if max(*picture.coded, *picture.shown) > settings.max_side:
        raise Reject(
            f"The video is {picture.coded.width} x {picture.coded.height} pixels, shown as {picture.shown.width} x "
            f"{picture.shown.height}; at most {settings.max_side} each way are processed.",
            hint="Send a smaller version.",
        )
    if picture.codec not in codecs.VIDEO:
        raise Reject(f"The video's pictures are coded as {picture.codec}, which isn't decoded.", hint=_CODEC_HINT)
    longest = max(read_seconds, probe.claimed_seconds or 0.0)
    if longest > settings.max_seconds:
        raise Reject(f"The video plays for {longest:,.0f} s; at most {settings.max_seconds:,.0f} s are processed.")
    notes = []
    sound = probe.sound
    if sound is not None and sound.codec not in codecs.AUDIO:
        notes.append(f"The sound is coded as {sound.codec}, which isn't decoded; it was left aside.")
        sound = None
    if picture.hdr:
        notes.append("HDR became SDR.")
    claimed_seconds = probe.claimed_seconds or 0.0
    missing = claimed_seconds - read_seconds
    if probe.cut_off or missing > max(TOLERATED_SECONDS, TOLERATED_SHARE * read_seconds):
        ends = f"The video ends after {read_seconds:.1f} s; it says that it plays for {claimed_seconds:.1f} s."
        if settings.damaged == "refuse" or math.isclose(read_seconds, 0.0):
            raise Reject(ends, hint="Its upload was cut off, or it is damaged: send it again.")
        notes.append(ends)
    return Source(path, probe.format, read_seconds, picture, sound, tuple(notes))


_CODEC_HINT = "Encode it as H.264, HEVC, VP9 or AV1."
