"""The table of tokens: SQLite, or Postgres where several gateways share it. Made at first use.

Whatever fails there is TokensUnavailable; no message shows a password.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, Float, MetaData, String, Table, Text, update
from sqlalchemy import insert as insert_into
from sqlalchemy import select as select_from

from producers.gateway.tokens.token import Token
from tidemill.database import is_in_memory, is_of_driver, postgres_engine, read_url, said, sqlite_engine
from tidemill.errors import ConfigError, TidemillError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

FILE = "gateway.db"
BUSY_SECONDS = 5.0
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5

METADATA = MetaData()
TOKENS = Table(
    "tidemill_gateway_tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False, index=True),
    Column("hash", String(64), nullable=False),
    Column("publish", Text, nullable=False),
    Column("read_jobs", Boolean, nullable=False),
    Column("upload", Boolean, nullable=False),
    Column("rate", Float),
    Column("burst", Float),
    Column("created", String(40), nullable=False),
    Column("expires", String(40)),
    Column("last_used", String(40)),
    Column("revoked", String(40)),
)
"""Times are ISO 8601, UTC."""


class TokensUnavailable(TidemillError):
    """The table of tokens didn't answer as it should."""

    retriable = True


class TokenStore:
    """The tokens in their database; connects when it is first used. Thread-safe.

    Args:
        settings: For the folder that a SQLite file is in.
        gateway_settings: `url`.

    Raises:
        ConfigError: The URL means no database that can be used.
    """

    def __init__(self, settings: Settings, gateway_settings: GatewaySettings) -> None:
        url = _url(settings, gateway_settings)
        self.shown = url.render_as_string(hide_password=True)
        self._engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)
        self._is_made = False

    def all(self) -> list[tuple[Token, str]]:
        """Every token, oldest first, and its hash.

        Raises:
            TokensUnavailable: The database didn't answer.
        """
        with self._transaction() as connection:
            rows = connection.execute(select_from(TOKENS).order_by(TOKENS.c.created, TOKENS.c.id)).mappings().all()
        return [(_token(row), row["hash"]) for row in rows]

    def add(self, token: Token, hash_: str) -> None:
        """Keep a new token.

        Raises:
            ConfigError: A live one has its name already.
            TokensUnavailable: The database didn't answer.
        """
        with self._transaction() as connection:
            if connection.execute(
                select_from(TOKENS.c.id).where(TOKENS.c.name == token.name, TOKENS.c.revoked.is_(None))
            ).first():
                raise ConfigError(
                    f"There is a token of the name {token.name!r} already.",
                    hint="Take another name, or revoke that one first: the name is what repeats are known by.",
                )
            connection.execute(insert_into(TOKENS), [{**_row(token), "hash": hash_}])

    def revoke(self, id_or_name: str, now: datetime) -> list[Token]:
        """Revoke the tokens that have this id or name; returns those that were live until now.

        Raises:
            TokensUnavailable: The database didn't answer.
        """
        with self._transaction() as connection:
            meant = (TOKENS.c.id == id_or_name) | (TOKENS.c.name == id_or_name)
            rows = connection.execute(select_from(TOKENS).where(meant, TOKENS.c.revoked.is_(None))).mappings().all()
            ids = [row["id"] for row in rows]
            connection.execute(update(TOKENS).where(TOKENS.c.id.in_(ids)).values(revoked=_text(now)))
        return [_token(row) for row in rows]

    def used(self, times: Mapping[str, datetime]) -> None:
        """Note when tokens were used last, by id.

        Raises:
            TokensUnavailable: The database didn't answer.
        """
        with self._transaction() as connection:
            for id_, moment in times.items():
                connection.execute(update(TOKENS).where(TOKENS.c.id == id_).values(last_used=_text(moment)))

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if not self._is_made:
                    METADATA.create_all(connection)
                    self._is_made = True
                yield connection
        except TidemillError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not is_of_driver(error):
                raise
            raise TokensUnavailable(
                f"The table of tokens ({self.shown}) didn't answer as it should: {said(error)}",
                hint="Check TIDEMILL_GATEWAY_URL and the database.",
            ) from error


def _token(row: Any) -> Token:
    times = {name: None if row[name] is None else datetime.fromisoformat(row[name]) for name in _TIMES}
    patterns: Sequence[str] = json.loads(row["publish"])
    return Token(**{**{name: row[name] for name in _PLAIN}, **times, "publish": tuple(patterns)})


def _row(token: Token) -> dict[str, Any]:
    times = {name: None if (moment := getattr(token, name)) is None else _text(moment) for name in _TIMES}
    return {**{name: getattr(token, name) for name in _PLAIN}, **times, "publish": json.dumps(token.publish)}


_PLAIN = ("id", "name", "read_jobs", "upload", "rate", "burst")
_TIMES = ("created", "expires", "last_used", "revoked")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _url(settings: Settings, gateway_settings: GatewaySettings) -> URL:
    from sqlalchemy import URL

    if gateway_settings.url is None:
        return URL.create("sqlite", database=str((settings.state_dir / FILE).absolute()))
    try:
        url = read_url(gateway_settings.url)
    except Exception as error:
        # Without what was found: there may be a password in it.
        raise ConfigError(
            "TIDEMILL_GATEWAY_URL is no URL of a database.",
            hint="Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/gateway.db.",
        ) from error
    if url.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise ConfigError(
            f"TIDEMILL_GATEWAY_URL names {url.drivername!r}, which the gateway doesn't know.",
            hint="It takes postgresql+psycopg://... and sqlite:///...",
        )
    if is_in_memory(url):
        raise ConfigError("Tokens in memory can be read by no gateway.", hint="Name a file: sqlite:////var/lib/x.db.")
    return url


def _sqlite(url: URL) -> Engine:
    from sqlalchemy.pool import NullPool

    return sqlite_engine(url, busy_seconds=BUSY_SECONDS, synchronous="FULL", immediate=True, poolclass=NullPool)


def _postgres(url: URL) -> Engine:
    return postgres_engine(
        url,
        application="tidemill gateway",
        connect_seconds=CONNECT_SECONDS,
        silence_seconds=STATEMENT_SECONDS,
        parameters={"statement_timeout": f"{STATEMENT_SECONDS}s", "lock_timeout": f"{STATEMENT_SECONDS}s"},
        pool_size=1,
        max_overflow=2,
        pool_pre_ping=True,
    )
