"""Limits and defaults of the video stream, from the environment: TIDEMILL_VIDEO_*.

Sizes and times that a file claims are checked before the work that they bound; those of the child process hold whatever
the file claims. Must not hold anything of one video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings

SourceFormat = Literal["mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]


class VideoSettings(BaseSettings):
    """What the video stream takes and how it writes; each field is `TIDEMILL_VIDEO_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_VIDEO_", extra="ignore", frozen=True)

    # None of them leads to other files, as playlists, concat lists and image sequences do.
    formats: tuple[SourceFormat, ...] = Field(
        default=("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf"),
        min_length=1,
        description="Containers that are read, as a JSON list; `mov` is MP4, too, and `matroska` WebM.",
    )
    max_bytes: int = Field(default=10_000_000_000, gt=0, description="Largest source, bytes.")
    max_seconds: float = Field(default=4 * 3600, gt=0, description="Longest source.")
    max_side: int = Field(
        default=8192, ge=16, le=16_384, description="Largest width and largest height of a source, pixels."
    )
    max_streams: int = Field(default=32, gt=0, description="Most streams of a source: pictures, sounds, subtitles.")
    max_outputs: int = Field(default=12, gt=0, description="Most outputs of one request.")
    max_preview_seconds: float = Field(default=15.0, gt=0)
    max_preview_width: int = Field(default=800, ge=16)
    max_fps: float = Field(default=60.0, gt=0, description="Outputs have at most so many pictures per second.")
    damaged: Literal["refuse", "keep"] = Field(
        default="refuse", description="A source that ends before its time: a dead letter, or what there is of it."
    )

    max_wall_seconds: float = Field(
        default=3 * 3600, gt=0, description="For all the work of one try; the stream's own limit is 4 hours."
    )
    max_cpu_seconds: int = Field(default=6 * 3600, gt=0, description="Of one run of ffmpeg, all its threads together.")
    max_memory_bytes: int = Field(default=3 * 1024**3, ge=256 * 1024**2, description="Of one run of ffmpeg.")
    max_output_bytes: int = Field(default=10_000_000_000, gt=0, description="Largest file that ffmpeg may write.")
    min_free_bytes: int = Field(
        default=1_000_000_000, ge=0, description="Free on the work folder's disk, besides the source and as much again."
    )

    # The bytes of an H.264 file depend on the number of threads, so it doesn't follow the machine.
    threads: int = Field(default=2, ge=1, le=64, description="Of each decoder and encoder.")
    mp4_preset: Preset = Field(default="fast", description="x264: time for size.")
    mp4_crf: int = Field(default=23, ge=0, le=51, description="Where the request names none.")
    mp4_audio_bitrate: int = Field(default=128_000, ge=16_000, le=512_000)
    webm_codec: Literal["vp9", "vp8"] = Field(default="vp9", description="vp8 is faster and larger.")
    webm_crf: int = Field(default=33, ge=0, le=63, description="Where the request names none.")
    webm_speed: int = Field(default=5, ge=0, le=8, description="libvpx's -cpu-used: higher is faster and larger.")
    webm_audio_bitrate: int = Field(default=96_000, ge=16_000, le=512_000)

    work_dir: Path | None = Field(
        default=None,
        description="Where files are worked on. Default: tidemill-video-<user id> in the temporary folder.",
    )
    ffmpeg: Path | None = Field(default=None, description="Another ffmpeg than that of the package imageio-ffmpeg.")


def load_video_settings() -> VideoSettings:
    """The settings from the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one.
    """
    return load_program_settings(
        VideoSettings, "The video stream's settings", {}, hint="Correct them in the environment."
    )
