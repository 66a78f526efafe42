"""The relay's settings: where the outbox is, and how it is emptied."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings


class OutboxSettings(BaseSettings):
    """Each field is `TIDEMILL_OUTBOX_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_OUTBOX_", extra="ignore", frozen=True)

    url: SecretStr | None = Field(
        default=None, description="Database of the outbox: postgresql+psycopg://..., or sqlite:///..."
    )
    batch_rows: int = Field(default=500, ge=1, le=1000, description="Most rows in one transaction of Kafka's.")
    batch_bytes: int = Field(
        default=8_000_000, ge=1, description="From so many bytes on a transaction takes no further row."
    )
    poll_seconds: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="How often it is looked for rows where nobody tells of them (SQLite); Postgres tells.",
    )
    look_seconds: float = Field(
        default=5.0, gt=0, le=300, description="How often it is looked for rows on Postgres, though nobody has told."
    )
    hold_seconds: float = Field(
        default=30.0, gt=0, description="How long a row that can't be published is held before it is tried again."
    )


def load_outbox_settings(**overrides: object) -> OutboxSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the URL, which may hold a password, is never shown.
    """
    return load_program_settings(OutboxSettings, "The outbox's settings", overrides, shows_values=False)
