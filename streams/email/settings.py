"""Limits, addresses and defaults of the e-mail stream, from the environment: TIDEMILL_EMAIL_*.

Without a relay there, mails go to the mailbox of the local stack, wherever that listens.
Every limit is checked before the work that it bounds is done. Must not hold anything of one mail.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.email.address import parse_address
from tidemill.config import STACK_FILE, Settings, load_settings
from tidemill.errors import ConfigError, Reject

_LABELS = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class EmailSettings(BaseSettings):
    """How mails are made and where they go; each field is `TIDEMILL_EMAIL_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_EMAIL_", extra="ignore", frozen=True)

    templates: Path = Field(default=Path("templates/email"), description="Folder of the templates.")
    sender: str = Field(
        default="Tidemill <noreply@localhost>", description="From, where a request names no sender of its own."
    )
    domain: str | None = Field(
        default=None, description="Right side of the Message-ID. Default: the domain of the setting `sender`."
    )
    suppressed: Path | None = Field(
        default=None, description="File of addresses and @domains, one a line, that get no mail; read when it changes."
    )

    host: str = Field(
        default="127.0.0.1", min_length=1, description="The relay that takes the mails. Default: the stack's mailbox."
    )
    port: int = Field(default=1025, ge=1, le=65535, description="Usual are 587 (starttls), 465 (tls), 25.")
    security: Literal["plain", "starttls", "tls"] = Field(
        default="plain", description="starttls and tls check the server's certificate and never go on without."
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")
    user: str | None = Field(default=None, description="User name for the relay.")
    password: SecretStr | None = Field(default=None, description="Password for the relay.")
    hello: str | None = Field(default=None, description="Name of this machine for EHLO. Default: as it calls itself.")

    max_connections: int = Field(default=20, ge=1, le=1000, description="Connections to the relay, per process.")
    max_messages_per_connection: int = Field(default=100, ge=1, description="Then a connection is closed.")
    idle_seconds: float = Field(default=30.0, gt=0, description="A connection without work is closed after this.")
    rate_per_second: float | None = Field(default=None, gt=0, description="Most mails a second, per process.")
    connect_seconds: float = Field(default=15.0, gt=0, description="Until connected, secured and logged in.")
    command_seconds: float = Field(default=30.0, gt=0, description="For the answer to a command.")
    data_seconds: float = Field(default=120.0, gt=0, description="For the answer after a mail's last byte.")
    greylist_seconds: float = Field(
        default=300.0, ge=0, description="Shortest wait after 450 and 451 before the next try."
    )
    unknown: Literal["again", "hold"] = Field(
        default="again",
        description="When it can't be known whether a mail was taken: send it again, or hold it for a person.",
    )

    max_recipients: int = Field(default=100, gt=0, description="to, cc and bcc of one mail together.")
    max_context_bytes: int = Field(default=256_000, gt=0, description="Largest context of a template.")
    max_body_bytes: int = Field(default=1_000_000, gt=0, description="Largest text and largest HTML, UTF-8.")
    max_attachments: int = Field(default=20, ge=0)
    max_message_bytes: int = Field(default=25_000_000, gt=0, description="Largest mail, as it is sent.")

    dkim_domain: str | None = Field(default=None, description="d= of the signature. Default: the sender's domain.")
    dkim_selector: str | None = Field(default=None, description="s= of the signature.")
    dkim_key: Path | None = Field(default=None, description="Private key, PEM (RSA). With it mails are signed.")

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            parse_address(value)
        except Reject as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("domain", "dkim_domain")
    @classmethod
    def _is_a_domain(cls, value: str | None) -> str | None:
        if value is not None and not _LABELS.fullmatch(value):
            raise ValueError("expected a domain in small ASCII letters, e.g. example.com")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> EmailSettings:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together; one of them is missing")
        if self.user is not None and self.security == "plain" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("a password isn't sent in the clear; set security to starttls or tls")
        if (self.dkim_key is None) != (self.dkim_selector is None):
            raise ValueError("dkim_key and dkim_selector go together; one of them is missing")
        return self

    @property
    def sender_domain(self) -> str:
        """The domain of the setting `sender`, punycode."""
        return parse_address(self.sender).ascii_domain

    @property
    def message_id_domain(self) -> str:
        """What stands after the @ of a Message-ID."""
        return self.domain or self.sender_domain

    @property
    def relay(self) -> str:
        """The relay as host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def load_email_settings(stack: Settings | None = None, **overrides: object) -> EmailSettings:
    """The settings from the environment.

    Args:
        stack: Says where the local stack keeps its state. Default: from the environment (`load_settings`).
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one, and never shows a password.
    """
    try:
        found = EmailSettings(**overrides)  # type: ignore[arg-type]
        if found.model_fields_set & {"host", "port"}:
            return found
        mailbox = _mailbox(stack or load_settings())
        return found if mailbox is None else EmailSettings(**{**overrides, **mailbox})  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(
            f"The e-mail stream's settings can't be used: {'; '.join(_faults(error))}.",
            hint="Correct them in the environment.",
        ) from error


def _mailbox(settings: Settings) -> dict[str, object] | None:
    """Host and port of the local stack's mailbox, while it is up."""
    try:
        stack = json.loads((settings.state_dir / STACK_FILE).read_text(encoding="utf-8"))
        host, _, port = stack["smtp_address"].rpartition(":")
    except (FileNotFoundError, KeyError):
        return None  # not up, or up without a mailbox
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{settings.state_dir / STACK_FILE} can't be read: {error}.",
            hint="Run `tidemill down`, then `tidemill up`.",
        ) from error
    return {"host": host, "port": port}


def _faults(error: ValidationError) -> list[str]:
    faults = []
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        # A fault of the whole has all values as its input, the password among them.
        found = f", found {fault['input']!r}" if where else ""
        faults.append(f"TIDEMILL_EMAIL_{where.upper() or '*'}: {fault['msg']}{found}")
    return faults
