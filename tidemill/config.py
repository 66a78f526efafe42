"""Settings: one object with every address and limit.

Read from, first wins: arguments, environment `TIDEMILL_*`, `tidemill.toml` in the working directory,
the running local stack (`stack.json` in the state folder), defaults. With nothing set, all addresses mean the local
stack. This module must not import anything of Kafka: a service that only reads settings pays for nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tidemill.errors import ConfigError

STACK_FILE = "stack.json"

S = TypeVar("S", bound=BaseSettings)


def _user_folder(variable: str, fallback: str) -> Path:
    """The XDG base folder for Tidemill (XDG Base Directory Specification 0.8)."""
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "tidemill"


class LocalStackSource(PydanticBaseSettingsSource):
    """Addresses of the local stack, while it is up: `<state_dir>/stack.json`, written by `tidemill up`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        state_dir = self.current_state.get("state_dir") or _user_folder("XDG_STATE_HOME", ".local/state")
        try:
            stack = json.loads((Path(state_dir) / STACK_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{Path(state_dir) / STACK_FILE} can't be read: {error}.",
                hint="Run `tidemill down`, then `tidemill up`.",
            ) from error
        return {name: stack[name] for name in ("bootstrap_servers", "registry_url") if name in stack}


class Settings(BaseSettings):
    """Addresses, security and limits of Tidemill.

    Every field can be set as `TIDEMILL_<FIELD>` in the environment or as `<field> = ...` in `tidemill.toml`.
    Use `load_settings()` to get them with a readable error instead of pydantic's.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", toml_file="tidemill.toml", extra="ignore", frozen=True)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    registry_url: str = Field(
        "http://127.0.0.1:8081/apis/ccompat/v7", description="Schema registry, Confluent-compatible API."
    )
    registry_user: str | None = Field(None, description="User for the registry's basic authentication.")
    registry_password: SecretStr | None = Field(None, description="Password for the registry.")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = Field(None, description="CA certificates that sign the brokers' and registry's.")
    ssl_certificate_location: Path | None = Field(None, description="This client's certificate.")
    ssl_key_location: Path | None = Field(None, description="This client's private key.")
    kafka: dict[str, str] = Field(
        default_factory=dict, description="Further librdkafka settings, by their own names; they win over ours."
    )

    namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Put before every topic, subject and consumer group, e.g. `staging.`.",
    )
    source: str = Field("/tidemill", description="Who publishes: the CloudEvents `source`, a URI reference.")
    schemas_dir: Path = Field(Path("schemas"), description="Folder of the contracts (*.avsc).")

    compression: Literal["lz4", "zstd", "snappy", "gzip", "none"] = "lz4"
    linger_ms: int = Field(5, ge=0, le=10_000, description="How long the publisher gathers a batch, ms.")
    delivery_timeout_seconds: float = Field(120.0, gt=0, description="After this an unacknowledged event has failed.")
    buffer_wait_seconds: float = Field(30.0, ge=0, description="How long publish() waits for room in a full buffer.")
    max_event_bytes: int = Field(1_000_000, gt=0, description="Largest event, key and headers included.")

    group_protocol: Literal["consumer", "classic"] = Field(
        "consumer", description="`consumer` is KIP-848 (Kafka 4); `classic` is cooperative-sticky, for older clusters."
    )

    store_url: str | None = Field(
        None,
        description="Where results are written: file://, s3://, gs:// or az://. Default: state_dir/objects.",
    )
    store_allow: list[str] = Field(
        default_factory=list, description="URI prefixes that streams may read from, besides the store itself."
    )

    outbox_notify: bool = Field(
        True,
        description="Whether writers tell Postgres of their outbox rows, so that relays move them at once.",
    )

    archive_url: str | None = Field(
        None,
        description="Where topics are archived: file://, s3://, gs:// or az://. Default: the store's folder archive.",
    )

    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    state_dir: Path = Field(
        default_factory=lambda: _user_folder("XDG_STATE_HOME", ".local/state"),
        description="Where the local stack keeps its data, and files its state.",
    )
    cache_dir: Path = Field(
        default_factory=lambda: _user_folder("XDG_CACHE_HOME", ".cache"),
        description="Where fetched programs are kept (Kafka, the registry).",
    )

    effects_url: SecretStr | None = Field(
        None,
        description="Ledger of `work.once`: postgresql+psycopg://..., or sqlite:///... Default: state_dir/effects.db.",
    )
    effects_keep_days: float = Field(
        90.0, gt=0, description="How long the ledger knows an effect; longer than events may come back."
    )
    effects_lease_seconds: float = Field(
        15.0, ge=1, le=3600, description="A worker that gives no sign for so long, in an effect, counts as dead."
    )

    status_url: SecretStr | None = Field(
        None,
        description="Table of jobs: postgresql+psycopg://..., or sqlite:///... Default: state_dir/status.db.",
    )
    status_keep_days: float = Field(
        30.0, gt=0, description="How long a job is known after the last thing that happened to it."
    )
    status_streams: dict[str, str] = Field(
        default_factory=dict,
        description="Streams that aren't installed where the tracker runs: name -> type of the events they take.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls),
            LocalStackSource(settings_cls),
        )

    def qualified(self, name: str) -> str:
        """A topic's, subject's or group's name with the namespace before it."""
        return self.namespace + name

    @property
    def object_store(self) -> str:
        """URL of the object store that results are written to."""
        return self.store_url or (self.state_dir / "objects").absolute().as_uri()

    @property
    def archive_store(self) -> str:
        """URL of the archive of topics."""
        return self.archive_url or f"{self.object_store.rstrip('/')}/archive"


def load_settings(**overrides: Any) -> Settings:
    """Settings from all sources.

    Args:
        **overrides: Fields that win over environment and files.

    Raises:
        ConfigError: A value doesn't fit; the message names every field, what was found and what is allowed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, found {fault['input']!r}" for fault in error.errors()
        )
        raise ConfigError(
            f"Settings can't be used: {faults}.",
            hint="Look at the TIDEMILL_* variables of the environment and at tidemill.toml.",
        ) from error


def load_program_settings(
    cls: type[S], whose: str, overrides: Mapping[str, Any], *, shows_values: bool = True, hint: str | None = None
) -> S:
    """Settings of one program or stream, from the environment alone.

    Args:
        cls: Its settings; `env_prefix` names their variables.
        whose: What they are called, as in "The archive's settings".
        overrides: Fields that win over the environment.
        shows_values: Whether an error may show what was found; not where a URL may hold a password.
        hint: The next step.

    Raises:
        ConfigError: A value doesn't fit; the message names each one.
    """
    try:
        return cls(**overrides)
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        faults = "; ".join(
            f"{prefix}{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
            + (f", found {fault['input']!r}" if shows_values else "")
            for fault in error.errors()
        )
        # What pydantic says, in the chain of causes too, has the values in it.
        raise ConfigError(f"{whose} can't be used: {faults}.", hint=hint) from (error if shows_values else None)
