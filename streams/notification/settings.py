"""Limits, keys and defaults of the notification stream, from the environment: TIDEMILL_NOTIFICATION_*.

Must not hold anything of one recipient: that is the directory's.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.config import load_program_settings

DIGEST_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SUBJECT = re.compile(r"mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*")

CHAT_AND_SMS = (
    "bulksms clicksend clickatell discord fcm gchat gotifys kavenegar line matrixs mmosts msgbird ntfys "
    "plivo pover rockets signals sinch slack sns telnyx tgram threema twilio vonage webex whatsapp workflows zulip"
)
"""Schemes of Apprise that are allowed by default: services over TLS, and nothing that acts on the worker's machine."""


class NotificationSettings(BaseSettings):
    """How people are notified; each field is `TIDEMILL_NOTIFICATION_<FIELD>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_NOTIFICATION_", extra="ignore", frozen=True)

    directory_url: SecretStr | None = Field(
        default=None,
        description="Recipients, addresses and what waits: postgresql+psycopg://... or sqlite:///... "
        "Default: state_dir/notifications.db.",
    )
    keep_days: float = Field(
        default=90.0, gt=0, description="How long a notice is known, and so isn't sent again by a replay."
    )

    digest_minutes: dict[str, float] = Field(
        default_factory=dict, description='How long a digest gathers, by its name, as JSON: {"comments": 15}.'
    )
    digest_default_minutes: float = Field(default=15.0, gt=0, description="For digests without an entry there.")
    max_gathered: int = Field(default=2000, ge=2, description="Notices that go as one; then another is begun.")
    titles: dict[str, str] = Field(
        default={
            "en": "{count} notices",
            "de": "{count} Mitteilungen",
            "es": "{count} avisos",
            "fr": "{count} notifications",
        },
        description="Title of several notices that go as one, by language, as JSON. The first is the default.",
    )

    vapid_key: Path | None = Field(
        default=None, description="Private key for Web Push, PEM; `tidemill notification keys` makes one."
    )
    vapid_subject: str | None = Field(
        default=None, description="Whom a push service may write to: mailto:... or https://... (RFC 8292)."
    )
    push_ttl_seconds: int = Field(
        default=28 * 86400, ge=0, description="How long a push service keeps a notice that doesn't expire."
    )

    services: str = Field(
        default=CHAT_AND_SMS,
        description="Schemes of Apprise that chat and sms addresses may have, with spaces between.",
    )
    sms_unknown: Literal["again", "hold"] = Field(
        default="hold",
        description="When it can't be known whether a text was taken: send it again, or hold it for a person.",
    )

    allow_networks: list[str] = Field(
        default_factory=list,
        description='Private networks that webhooks and push endpoints may lie in, as JSON: ["10.7.0.0/16"].',
    )
    allow_http: bool = Field(default=False, description="Whether webhooks and push endpoints may do without TLS.")
    answer_seconds: float = Field(default=15.0, gt=0, le=60, description="For a receiver's whole answer.")
    connect_seconds: float = Field(default=5.0, gt=0, le=60, description="Until a connection stands.")

    email_template: str | None = Field(
        default=None, description="Template of the e-mail stream for notices. Default: their plain text."
    )

    @field_validator("digest_minutes")
    @classmethod
    def _are_digests(cls, value: dict[str, float]) -> dict[str, float]:
        for name, minutes in value.items():
            if not DIGEST_NAME.fullmatch(name) or not 0 < minutes <= 7 * 1440:
                raise ValueError(f"digest {name!r}: expected a name of a-z, 0-9, ., - and _, and minutes up to 10080")
        return value

    @field_validator("titles")
    @classmethod
    def _have_titles(cls, value: dict[str, str]) -> dict[str, str]:
        if not value or not all(title.isprintable() and len(title) <= 100 for title in value.values()):
            raise ValueError("expected at least one title, each of one line")
        return value

    @field_validator("vapid_subject")
    @classmethod
    def _is_a_contact(cls, value: str | None) -> str | None:
        if value is not None and not _SUBJECT.fullmatch(value):
            raise ValueError("expected mailto:someone@example.com or https://example.com/contact")
        return value

    @field_validator("allow_networks")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for each in value:
            ip_network(each)  # says itself what is wrong
        return value

    @property
    def allowed_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of `allow_networks`."""
        return tuple(ip_network(each) for each in self.allow_networks)

    def digest_seconds(self, name: str) -> float:
        """How long a digest gathers."""
        return 60 * self.digest_minutes.get(name, self.digest_default_minutes)


def load_notification_settings(**overrides: object) -> NotificationSettings:
    """The settings from the environment.

    Args:
        **overrides: Fields that win over the environment.

    Raises:
        ConfigError: A value doesn't fit; the message names each one, and never shows a password.
    """
    return load_program_settings(
        NotificationSettings,
        "The notification stream's settings",
        overrides,
        shows_values=False,
        hint="Correct them in the environment.",
    )
