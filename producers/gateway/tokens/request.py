"""From what a person asks for to a token, checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from producers.gateway.tokens.token import Token, is_pattern, new_secret
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.duration import parse_duration
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError, UnknownEventType

MOST_NAME = 100


def new_token(
    name: str,
    publish: Sequence[str],
    *,
    read_jobs: bool,
    upload: bool,
    expires: str,
    rate: float | None,
    burst: float | None,
    now: datetime,
) -> tuple[Token, str, str]:
    """A new token, its text and the hash that is stored of it.

    Args:
        name: Who uses it.
        publish: Event types and patterns.
        read_jobs, upload: Its other scopes.
        expires: How long it holds, as `90d` or `forever`.
        rate: Events a second; None: no limit.
        burst: How many at once; None: those of a second.
        now: The present, aware.

    Raises:
        ConfigError: Something isn't what it should be.
    """
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable() or name != name.strip():
        raise ConfigError(f"A token's name is 1 to {MOST_NAME} printable characters, found {name[:40]!r}.")
    for pattern in publish:
        _check(pattern)
    if not (publish or read_jobs or upload):
        raise ConfigError(
            "A token that may do nothing is of no use.", hint="Give it --publish TYPE, --read-jobs or --upload."
        )
    if burst is not None and rate is None:
        raise ConfigError("--burst needs --rate.", hint="For example --rate 50 --burst 200.")
    try:
        holds = parse_duration(expires)
    except ValueError as error:
        raise ConfigError(f"--expires {expires!r} can't be read: {error}") from error
    id_, text, hash_ = new_secret()
    token = Token(
        id=id_,
        name=name,
        publish=tuple(dict.fromkeys(publish)),
        read_jobs=read_jobs,
        upload=upload,
        rate=rate,
        burst=burst,
        created=now,
        expires=None if holds is None else now + holds,
    )
    return token, text, hash_


def _check(pattern: str) -> None:
    if not is_pattern(pattern):
        raise ConfigError(
            f"{pattern!r} is neither an event type nor a pattern.", hint="Write image.requested, 'image.*' or '*'."
        )
    known = [cls.__contract__.type for cls in installed_events()]
    if "*" not in pattern:
        try:
            installed_events().by_type(pattern)
        except UnknownEventType as error:
            raise ConfigError(error.message, hint=error.hint) from error
    elif pattern != "*" and not any(name.startswith(pattern[:-1]) for name in known):
        families = {name.partition(".")[0] + ".*" for name in known}
        hint = did_you_mean(pattern, families) or "`tidemill schemas list` shows all types."
        raise ConfigError(f"No installed contract fits the pattern {pattern!r}.", hint=hint)
