"""Where reports are and what they may take, from the environment: TIDEMILL_REPORT_*.

A report's own limits can only be lower than these. Connections are TIDEMILL_REPORT_SOURCE_<NAME>, any number of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.errors import ConfigError

SOURCE_PREFIX = "TIDEMILL_REPORT_SOURCE_"
SOURCE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ReportSettings(BaseSettings):
    """How reports are made; each field is `TIDEMILL_REPORT_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_REPORT_", extra="ignore", frozen=True)

    folder: Path = Field(default=Path("reports"), description="Folder of the reports, one folder each.")
    links: str | None = Field(
        default=None,
        pattern=r"^https?://.+",
        description="What links in mails begin with; the file's path in the store follows. Default: the file's URI.",
    )
    keep_days: int = Field(default=30, ge=1, description="What mails say about how long the files are kept.")
    max_seconds: float = Field(default=900.0, gt=0, description="Longest time for the queries of one report.")
    max_memory_mb: int = Field(default=1024, ge=64, description="Most memory for one report, MB.")
    max_rows: int = Field(default=10_000_000, ge=1, description="Most rows of a report's table.")
    max_page_rows: int = Field(default=20_000, ge=1, description="Most rows of a query that a page may show.")
    max_topic_events: int = Field(default=5_000_000, ge=1, description="Most events of one topic in a report.")
    max_tell: int = Field(default=20, ge=0, description="Most people to tell of one report.")


def load_report_settings(**overrides: object) -> ReportSettings:
    """The stream's settings.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names every field.
    """
    try:
        return ReportSettings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"TIDEMILL_REPORT_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}, found {fault['input']!r}"
            for fault in error.errors()
        )
        raise ConfigError(f"The report stream's settings can't be used: {faults}.") from error


def source_url(name: str) -> str:
    """The SQLAlchemy URL of a named connection.

    Args:
        name: As reports write it, e.g. `shop` for TIDEMILL_REPORT_SOURCE_SHOP.

    Raises:
        ConfigError: It isn't set.
    """
    url = os.environ.get(SOURCE_PREFIX + name.upper())
    if not url:
        there = sorted(key.removeprefix(SOURCE_PREFIX).lower() for key in os.environ if key.startswith(SOURCE_PREFIX))
        raise ConfigError(
            f"The source {name!r} has no address.",
            hint=f"Set {SOURCE_PREFIX}{name.upper()} to a SQLAlchemy URL. There are: {', '.join(there) or 'none'}.",
        )
    return url
