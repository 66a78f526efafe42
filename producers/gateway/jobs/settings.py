"""How jobs are told of over HTTP, from the environment: TIDEMILL_GATEWAY_JOB_*."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings


class JobSettings(BaseSettings):
    """Each field is `TIDEMILL_GATEWAY_JOB_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_GATEWAY_JOB_", extra="ignore", frozen=True)

    beat_seconds: float = Field(
        default=0.5,
        ge=0.05,
        le=60,
        description="How often the table of jobs is asked, for all who follow jobs together.",
    )
    streams: int = Field(default=4_000, ge=1, description="Event streams and waiting requests in one process.")
    streams_per_token: int = Field(default=1_000, ge=1, description="Those of one token.")
    keep_alive_seconds: float = Field(default=15.0, gt=0, description="A silent stream says so often that it is there.")
    stream_seconds: float = Field(
        default=3_600.0, gt=0, description="An event stream ends after so long; its reader comes again."
    )
    send_seconds: float = Field(default=30.0, gt=0, description="A reader that takes nothing for so long is cut off.")
    max_wait_seconds: float = Field(default=60.0, ge=0, description="Longest `?wait=`.")
    unknown_seconds: float = Field(
        default=5.0, ge=0, description="How long an event stream waits for a job that isn't known yet, before its 404."
    )
    link_seconds: float = Field(
        default=300.0, gt=0, le=604_800, description="How long a link to a bucket's object can be used."
    )


def load_job_settings(**overrides: object) -> JobSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one.
    """
    return load_program_settings(
        JobSettings, "The settings of jobs", overrides, hint="Correct them in the environment."
    )
