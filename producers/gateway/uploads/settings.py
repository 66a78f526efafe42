"""What uploads the gateway takes, from the environment: TIDEMILL_GATEWAY_UPLOAD_*."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from producers.gateway.uploads.media_type import MediaType
from tidemill.config import load_program_settings

_PATTERN = re.compile(r"[a-z0-9][a-z0-9.+-]*/(\*|[a-z0-9][a-z0-9.+-]*)")
# What the streams read by default: no TIFF, whose decoder takes most risks, and no HEIC, which nobody here decodes.
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp")


class UploadSettings(BaseSettings):
    """Each field is `TIDEMILL_GATEWAY_UPLOAD_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_GATEWAY_UPLOAD_", extra="ignore", frozen=True)

    max_bytes: dict[str, int] = Field(
        default={**dict.fromkeys(_PICTURES, 64_000_000), "video/*": 4_000_000_000},
        description="Media types that are taken, and the largest file of each, bytes, as JSON; `video/*` means all.",
    )
    at_once: int = Field(default=16, ge=1, le=1000, description="Uploads under way in one process.")
    at_once_per_token: int = Field(default=4, ge=1, description="Those of one token.")
    seconds: float = Field(default=3_600.0, gt=0, description="Longest time for one upload.")
    spool_dir: Path | None = Field(
        default=None, description="Where a body is until all of it is there. Default: state_dir/spool."
    )
    min_free_bytes: int = Field(
        default=1_000_000_000, ge=0, description="What an upload leaves free on the disk of the spool folder."
    )

    @field_validator("max_bytes")
    @classmethod
    def _known_form(cls, found: dict[str, int]) -> dict[str, int]:
        for pattern, most in found.items():
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f"{pattern!r} is no media type such as image/png or video/*")
            if most < 1:
                raise ValueError(f"{pattern} has {most} bytes, expected 1 or more")
        return found

    def most_bytes_of(self, found: MediaType) -> int | None:
        """The largest file of a media type that is taken, bytes; None where none is."""
        family = found.name.partition("/")[0]
        return self.max_bytes.get(found.name, self.max_bytes.get(f"{family}/*"))

    @property
    def most_bytes(self) -> int:
        """The largest file of any type, bytes; 0 where none is taken."""
        return max(self.max_bytes.values(), default=0)


def load_upload_settings(**overrides: object) -> UploadSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one.
    """
    return load_program_settings(
        UploadSettings, "The settings of uploads", overrides, hint="Correct them in the environment."
    )
