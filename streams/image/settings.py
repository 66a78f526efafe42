"""Limits and defaults of the image stream, from the environment: TIDEMILL_IMAGE_*.

Every limit is checked before the work that it bounds is done, so that no picture can hurt a worker.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings
from tidemill.events import OriginalFormat, ResultFormat

# The largest side that WebP can hold (RFC 9649: 14 bits).
_MAX_SIDE = 16_383


class ImageSettings(BaseSettings):
    """What the image stream takes and how it writes; each field is `TIDEMILL_IMAGE_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_IMAGE_", extra="ignore", frozen=True)

    # Not TIFF: its decoder has by far the most parts, and prints whatever a hostile file makes it complain of.
    formats: tuple[OriginalFormat, ...] = Field(
        default=("jpeg", "png", "webp", "gif", "avif", "bmp"),
        min_length=1,
        description="Formats that are read, as a JSON list; `tiff` can be added where the senders are known.",
    )
    max_bytes: int = Field(default=64_000_000, gt=0, description="Largest source, bytes.")
    max_pixels: int = Field(default=100_000_000, gt=0, description="Largest source, width x height.")
    max_frames: int = Field(default=500, gt=0, description="Most frames of an animation.")
    max_animation_pixels: int = Field(
        default=300_000_000, gt=0, description="Largest animation, width x height x frames."
    )
    max_scans: int = Field(default=100, gt=0, description="Most scans of a progressive JPEG; usual are about 10.")
    max_renditions: int = Field(default=32, gt=0, description="Most renditions of one request.")
    max_side: int = Field(
        default=_MAX_SIDE, gt=0, le=_MAX_SIDE, description="Largest width or height of a rendition, pixels."
    )
    max_output_pixels: int = Field(
        default=150_000_000, gt=0, description="All renditions of one request together, width x height x frames."
    )
    jpeg_quality: int = Field(default=82, ge=1, le=100)
    webp_quality: int = Field(default=80, ge=1, le=100)
    avif_quality: int = Field(default=62, ge=1, le=100)

    def quality_of(self, target: ResultFormat) -> int:
        """Default quality for a format, 1 to 100; formats without one get 100."""
        return {"jpeg": self.jpeg_quality, "webp": self.webp_quality, "avif": self.avif_quality}.get(target, 100)


def load_image_settings() -> ImageSettings:
    """The settings from the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one.
    """
    return load_program_settings(
        ImageSettings, "The image stream's settings", {}, hint="Correct them in the environment."
    )
