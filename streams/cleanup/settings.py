"""Where the clean-up stream finds its policies and databases, from the environment: TIDEMILL_CLEANUP_*."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError


class CleanupSettings(BaseSettings):
    """Each field is `TIDEMILL_CLEANUP_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMILL_CLEANUP_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    policies: Path = Field(default=Path("cleanup.toml"), description="File of the policies; read for every run.")
    databases: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="URLs by the names that policies use: TIDEMILL_CLEANUP_DATABASES__SHOP=..., one variable each.",
    )

    def database_url(self, name: str) -> str:
        """The URL of a policy's database.

        Args:
            name: As the policy says it: a name, or a `sqlite:` URL.

        Raises:
            ConfigError: No database has this name.
        """
        if name.startswith("sqlite:"):
            return name
        # Names of environment variables have no case everywhere.
        known = {each.lower(): url for each, url in self.databases.items()}
        if name.lower() not in known:
            raise ConfigError(
                f"No database is named {name!r}.",
                hint=did_you_mean(name.lower(), known)
                or f"Set TIDEMILL_CLEANUP_DATABASES__{name.upper()}=postgresql+psycopg://user:password@host/database.",
            )
        return known[name.lower()].get_secret_value()


def load_cleanup_settings(**overrides: object) -> CleanupSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names it, and never shows a URL.
    """
    try:
        return CleanupSettings(**overrides)  # type: ignore[arg-type]
    except (ValidationError, ValueError) as error:
        # pydantic-settings' own error quotes what it couldn't parse: there may be a password in it.
        where = (
            ", ".join(
                f"TIDEMILL_CLEANUP_{'__'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in faults
            )
            if (faults := error.errors() if isinstance(error, ValidationError) else [])
            else "TIDEMILL_CLEANUP_DATABASES isn't JSON"
        )
        raise ConfigError(
            f"The clean-up stream's settings can't be used: {where}.",
            hint="Give databases as TIDEMILL_CLEANUP_DATABASES__NAME=URL, one variable each.",
        ) from None
