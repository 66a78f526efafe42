"""The gateway's settings: where it listens, what it takes, and how long it waits."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings


class GatewaySettings(BaseSettings):
    """Each field is `TIDEMILL_GATEWAY_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_GATEWAY_", extra="ignore", frozen=True)

    url: SecretStr | None = Field(
        default=None,
        description="Database of the tokens: postgresql+psycopg://..., or sqlite:///... Default: state_dir/gateway.db.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Processes that share the port.")
    open: bool = Field(default=False, description="Take requests without a token; only on a loopback address.")

    body_bytes: int = Field(default=2_000_000, ge=1, description="Largest body of one event, inflated.")
    batch_bytes: int = Field(default=32_000_000, ge=1, description="Largest body of a batch, inflated.")
    batch_lines: int = Field(default=100_000, ge=1, description="Most events in a batch.")
    header_bytes: int = Field(default=32_768, ge=1024, description="Most bytes of a request's line and headers.")
    header_seconds: float = Field(default=10.0, gt=0, description="In this time a request's headers must be there.")
    body_seconds: float = Field(default=10.0, gt=0, description="Longest pause within a body.")
    body_bytes_per_second: int = Field(
        default=1_000, ge=1, description="Slowest body, over its whole time, after the first `body_seconds`."
    )
    acknowledge_seconds: float = Field(
        default=10.0, gt=0, le=300, description="How long the broker's acknowledgement is waited for."
    )
    shutdown_seconds: float = Field(
        default=20.0, gt=0, description="How long requests may still take after the signal to stop."
    )
    waiting_bytes: int = Field(
        default=64_000_000,
        ge=1_000_000,
        description="Most bytes of bodies and of events that wait for the broker, per process; more is refused.",
    )
    requests: int = Field(default=1_000, ge=1, description="Most requests at the same time, per process.")
    connections: int = Field(default=5_000, ge=1, description="Most connections, per process.")

    repeats: int = Field(
        default=20_000, ge=0, description="How many answers are kept for repeats by Idempotency-Key, per process."
    )
    repeat_seconds: float = Field(default=3600.0, gt=0, description="How long such an answer is kept.")
    access_log: bool = Field(default=True, description="A line of log for each request.")
    token_seconds: float = Field(
        default=2.0, gt=0, le=60, description="How often it is looked for new and revoked tokens."
    )
    internal_types: list[str] = Field(
        default_factory=list,
        description="Patterns of further event types that only a token which names them exactly may publish.",
    )
    cors_origins: list[str] = Field(
        default_factory=list, description="Origins of web pages that may call the gateway; `*` is all. Default: none."
    )


def load_gateway_settings(**overrides: object) -> GatewaySettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the URL, which may hold a password, is never shown.
    """
    return load_program_settings(GatewaySettings, "The gateway's settings", overrides, shows_values=False)
