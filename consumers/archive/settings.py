"""The archiver's settings: how large files get, how long things may take. Where the archive is, `Settings` says."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings


class ArchiveSettings(BaseSettings):
    """Each field is `TIDEMILL_ARCHIVE_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_ARCHIVE_", extra="ignore", frozen=True)

    roll_bytes: int = Field(
        default=128_000_000, ge=1, description="When files have so many bytes together, they are committed."
    )
    roll_seconds: float = Field(
        default=300.0, gt=0, description="When files have been open for so long, they are committed."
    )
    memory_bytes: int = Field(
        default=64_000_000, ge=1, description="Of rows that wait for their row group, over all open files."
    )
    lease_seconds: float = Field(
        default=15.0, ge=1, le=3600, description="An archiver that gives no sign for so long counts as dead."
    )
    compact_bytes: int = Field(
        default=128_000_000, ge=1, description="Files smaller than half of this are put together, up to this size."
    )
    warn_share: float = Field(
        default=0.5, gt=0, lt=1, description="Warn when an unread event is older than this share of the retention."
    )
    scratch_dir: Path | None = Field(
        default=None, description="Where files lie until they are uploaded. Default: state_dir/archive."
    )


def load_archive_settings(**overrides: object) -> ArchiveSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit.
    """
    return load_program_settings(ArchiveSettings, "The archive's settings", overrides)
