"""The desk's settings: where its index is, and how far a redrive goes by itself."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings


class DeadSettings(BaseSettings):
    """Each field is `TIDEMILL_DEAD_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_DEAD_", extra="ignore", frozen=True)

    url: SecretStr | None = Field(
        default=None,
        description="Index of dead letters: postgresql+psycopg://..., or sqlite:///... Default: state_dir/dead.db.",
    )
    catch_up_seconds: float = Field(
        default=20.0, ge=0, le=3600, description="How long a command reads what is new before it answers all the same."
    )
    most_redrives: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="An event that was put back so often is left where it is, unless asked for.",
    )
    batch_letters: int = Field(
        default=1_000, ge=1, le=5_000, description="Most letters in one transaction of a redrive."
    )
    batch_bytes: int = Field(
        default=8_000_000, ge=1, description="From so many bytes on a transaction takes no further letter."
    )


def load_dead_settings(**overrides: object) -> DeadSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the URL, which may hold a password, is never shown.
    """
    return load_program_settings(DeadSettings, "The settings of the dead-letter desk", overrides, shows_values=False)
