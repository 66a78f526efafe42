"""The arguments with which ffmpeg makes all outputs at once: the source is read and decoded once. Computes only.

The same source, arguments and ffmpeg give the same bytes: no dates, no version, no tags of the source, and a number of
threads that doesn't follow the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.video.geometry import Size, fit
from streams.video.pictures import plain, resized
from streams.video.probe import Picture, Sound
from streams.video.settings import VideoSettings
from tidemill.events import VideoOutput

CONTENT_TYPES = {"mp4": "video/mp4", "webm": "video/webm"}

PLAIN_FILE = [
    *("-map_metadata", "-1", "-map_chapters", "-1"),
    *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"),
]
"""No date, no version of an encoder, and nothing of the source's tags, which may say where it was taken."""


@dataclass(frozen=True)
class Planned:
    """One file to be made: where, and how large its pictures are."""

    path: Path
    size: Size


def plan_outputs(outputs: Sequence[VideoOutput], picture: Picture, folder: Path) -> list[Planned]:
    """Where each output goes and how large it becomes."""
    return [
        Planned(
            folder / f"output-{index}.{output.container}",
            fit(picture.shown, width=output.width, height=output.height, short_side=output.short_side),
        )
        for index, output in enumerate(outputs)
    ]


def transcode_arguments(
    outputs: Sequence[VideoOutput],
    planned: Sequence[Planned],
    picture: Picture,
    sound: Sound | None,
    settings: VideoSettings,
) -> list[str]:
    """What follows the input.

    Args:
        outputs: What is asked for, at least one.
        planned: By `plan_outputs`.
        picture, sound: The source's.
        settings: Encoders and their defaults.
    """
    largest = Size(max(each.size.width for each in planned), max(each.size.height for each in planned))
    branches = "".join(f"[s{index}]" for index in range(len(planned)))
    head = [*plain(picture, largest, max_fps=settings.max_fps), f"split={len(planned)}"]
    graph = [f"[0:V:0]{','.join(head)}{branches}"]
    graph += [f"[s{i}]{','.join(resized(picture, each.size, 'video'))}[v{i}]" for i, each in enumerate(planned)]
    arguments = ["-max_error_rate", "0.1", "-filter_complex", ";".join(graph)]
    for index, (output, each) in enumerate(zip(outputs, planned, strict=True)):
        arguments += ["-map", f"[v{index}]"]
        if output.audio and sound is not None:
            arguments += ["-map", "0:a:0", *_audio(output, sound, settings)]
        arguments += ["-fps_mode", "vfr", *_video(output, each.size, picture, settings), *PLAIN_FILE]
        # `file:` because a path may look like another protocol.
        arguments += ["-f", output.container, "-y", f"file:{each.path}"]
    return arguments


def _video(output: VideoOutput, size: Size, picture: Picture, settings: VideoSettings) -> list[str]:
    threads = ["-threads", str(settings.threads)]
    most = output.max_bitrate
    if output.container == "mp4":
        # 0 would be without any loss, which browsers can't play (High 4:4:4).
        crf = max(1, settings.mp4_crf if output.crf is None else output.crf)
        return [
            *("-c:v", "libx264", "-preset", settings.mp4_preset, "-crf", str(crf), "-profile:v", "high", *threads),
            *(("-maxrate", str(most), "-bufsize", str(2 * most)) if most else ()),
            *("-movflags", "+faststart"),
        ]
    crf = settings.webm_crf if output.crf is None else output.crf
    if settings.webm_codec == "vp9":
        # Rows in parallel give the same bytes as rows one after the other; tiles are as many as the width allows.
        codec = ["libvpx-vp9", "-row-mt", "1", "-tile-columns", "2"]
        rate = most or 0
    else:
        # VP8 has no quality without a rate: a generous one, by which the quality decides.
        codec = ["libvpx"]
        crf = max(4, crf)
        rate = most or round(size.width * size.height * min(picture.fps or 30.0, settings.max_fps) * 0.2)
    speed = ["-deadline", "good", "-cpu-used", str(settings.webm_speed)]
    return ["-c:v", *codec, *speed, "-crf", str(crf), "-b:v", str(rate), *threads]


def _audio(output: VideoOutput, sound: Sound, settings: VideoSettings) -> list[str]:
    codec, rate = {"mp4": ("aac", settings.mp4_audio_bitrate), "webm": ("libopus", settings.webm_audio_bitrate)}[
        output.container
    ]
    return [
        # Silence where sound is missing, so that what follows stays with its pictures.
        *("-af", "aresample=async=1:first_pts=0"),
        *("-c:a", codec, "-b:a", str(rate), "-ac", "1" if sound.mono else "2", "-ar", "48000"),
    ]
