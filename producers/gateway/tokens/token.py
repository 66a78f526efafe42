"""A token: its text, its hash, and what it allows. Computes only.

The text is `tmg_<id>_<secret>`: an id of 12 hex digits to find it by, and 256 random bits. They can't be guessed,
however fast somebody tries, so a slow hash such as bcrypt would protect nothing and cost every request 100 ms: what
is stored is their SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

PREFIX = "tmg"
READ_JOBS = "read_jobs"
UPLOAD = "upload"

_TEXT = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is known of a token; not its secret."""

    id: str
    name: str
    publish: tuple[str, ...] = ()
    """Event types that it may publish: exact names, `image.*`, or `*`."""
    read_jobs: bool = False
    upload: bool = False
    rate: float | None = None
    """Events a second, over all of a gateway's workers; None: as many as there are."""
    burst: float | None = None
    """How many at once."""
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None

    def allows(self, scope: str) -> bool:
        """Whether it has a scope: READ_JOBS or UPLOAD."""
        return {READ_JOBS: self.read_jobs, UPLOAD: self.upload}[scope]

    def may_publish(self, event_type: str, *, internal: bool) -> bool:
        """Whether it may publish events of a type.

        Args:
            event_type: Its name.
            internal: Whether only its exact name counts, not a pattern.
        """
        if event_type in self.publish:
            return True
        return not internal and any(_covers(pattern, event_type) for pattern in self.publish)

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "live"


def _covers(pattern: str, event_type: str) -> bool:
    return pattern == "*" or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))


def new_secret() -> tuple[str, str, str]:
    """A new token's id, its text, and the hash that is stored of it."""
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return id_, f"{PREFIX}_{id_}_{secret}", hashed(secret)


def hashed(secret: str) -> str:
    """SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret of a token's text; None where it isn't one."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def is_same(secret: str, hash_: str) -> bool:
    """Whether a secret is the one of a hash; takes as long whatever differs."""
    return hmac.compare_digest(hashed(secret), hash_)


def is_pattern(text: str) -> bool:
    """Whether a text can stand for event types: a name, a name that ends in `.*`, or `*`."""
    return _PATTERN.fullmatch(text) is not None
