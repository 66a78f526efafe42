"""`outbox.add`: whose transaction the row goes into, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tidemill import Settings, outbox
from tidemill.config import load_settings
from tidemill.errors import ContractError, DecodeError, EventTooLarge, InvalidEvent, OutboxError
from tidemill.events import JobCancel
from tidemill.outbox.row import headers_as_text, headers_from_text, lane_of
from tidemill.outbox.single_object import unpacked


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with an outbox, and a table of the service's own."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(outbox.ddl("sqlite"))
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    connection.close()
    return path


@pytest.fixture
def settings() -> Settings:
    return load_settings(namespace="test.", source="/shop")


def rows(file: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute("SELECT * FROM tidemill_outbox ORDER BY id")]
    finally:
        connection.close()


def cancel(job: str = "job-1") -> JobCancel:
    return JobCancel(job=job, why="a test")


def test_a_row_is_what_a_publisher_would_have_sent(file: Path, settings: Settings) -> None:
    connection = sqlite3.connect(file)
    event_id = outbox.add(
        connection, cancel(), subject="about it", headers={"x-shop": b"\xff\x00"}, id="mine", settings=settings
    )
    connection.commit()
    connection.close()
    (row,) = rows(file)
    assert event_id == row["event_id"] == "mine"
    assert (row["type"], row["topic"], row["subject"]) == ("job.cancel", "test.job.cancel", "job.cancel-value")
    assert row["key"] == b"job-1"
    assert row["lane"] == lane_of("test.job.cancel", b"job-1", "mine")
    headers = dict(headers_from_text(row["headers"]))
    assert headers["ce_id"] == b"mine"
    assert headers["ce_source"] == b"/shop"
    assert headers["ce_subject"] == b"about it"
    assert headers["x-shop"] == b"\xff\x00"
    assert unpacked(row["value"])[1] == b"\x0ajob-1\x00\x02\x0ca test"
    assert row["created_ms"] > 1_700_000_000_000


def test_a_delayed_event_waits_where_delayed_events_do(file: Path, settings: Settings) -> None:
    connection = sqlite3.connect(file)
    outbox.add(connection, cancel(), delay=timedelta(minutes=5), settings=settings)
    connection.commit()
    connection.close()
    (row,) = rows(file)
    assert row["topic"] == "test.schedule.delayed"
    assert dict(headers_from_text(row["headers"]))["tm_to_topic"] == b"test.job.cancel"


def test_what_is_rolled_back_leaves_no_row(file: Path, settings: Settings) -> None:
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO orders VALUES (1)")
    outbox.add(connection, cancel(), settings=settings)
    connection.rollback()
    connection.close()
    assert rows(file) == []


def test_a_session_of_sqlalchemy_takes_the_row_with_its_own_objects(file: Path, settings: Settings) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO orders VALUES (1)"))
        outbox.add(session, cancel(), settings=settings)
    with Session(engine) as session:
        outbox.add(session, cancel("rolled back"), settings=settings)
    engine.dispose()
    assert [row["key"] for row in rows(file)] == [b"job-1"]


def test_a_connection_of_sqlalchemy_takes_the_row(file: Path, settings: Settings) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        ids = outbox.add_many(connection, [cancel(f"job-{number}") for number in range(3)], settings=settings)
    engine.dispose()
    assert [row["event_id"] for row in rows(file)] == ids


async def test_the_asynchronous_ones_of_sqlalchemy_take_the_row(file: Path, settings: Settings) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    async with AsyncSession(engine) as session, session.begin():
        await outbox.add_async(session, cancel("a"), settings=settings)
    async with engine.begin() as connection:
        await outbox.add_many_async(connection, [cancel("b"), cancel("c")], settings=settings)
    await engine.dispose()
    assert [row["key"] for row in rows(file)] == [b"a", b"b", b"c"]


@pytest.fixture
def django_connection(file: Path) -> Iterator[Any]:
    """Django's connection to the database, by way of its own settings."""
    import django
    from django.conf import settings as django_settings
    from django.db.utils import ConnectionHandler

    if not django_settings.configured:
        django_settings.configure(DATABASES={}, USE_TZ=True)
        django.setup()
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}})
    yield handler["default"]
    handler["default"].close()


def test_djangos_connection_takes_the_row_inside_atomic(file: Path, settings: Settings, django_connection: Any) -> None:
    django_connection.set_autocommit(False)
    outbox.add(django_connection, cancel("kept"), settings=settings)
    django_connection.commit()
    outbox.add(django_connection, cancel("rolled back"), settings=settings)
    django_connection.rollback()
    django_connection.set_autocommit(True)
    assert [row["key"] for row in rows(file)] == [b"kept"]


def test_djangos_connection_outside_of_atomic_is_refused(
    file: Path, settings: Settings, django_connection: Any
) -> None:
    with pytest.raises(OutboxError, match=r"committed by itself: Django is outside of transaction\.atomic"):
        outbox.add(django_connection, cancel(), settings=settings)
    assert rows(file) == []


def test_connections_that_commit_by_themselves_are_refused(file: Path, settings: Settings) -> None:
    plain = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(OutboxError, match="sqlite3's autocommit is on"):
        outbox.add(plain, cancel(), settings=settings)
    plain.execute("BEGIN")
    outbox.add(plain, cancel("in a transaction"), settings=settings)
    plain.execute("COMMIT")
    plain.close()
    engine = create_engine(f"sqlite:///{file}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(OutboxError, match="isolation level is AUTOCOMMIT"):
        outbox.add(connection, cancel(), settings=settings)
    engine.dispose()
    assert [row["key"] for row in rows(file)] == [b"in a transaction"]


async def test_what_is_asynchronous_goes_to_the_asynchronous_function_and_only_there(
    file: Path, settings: Settings
) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    async with engine.connect() as connection:
        with pytest.raises(OutboxError, match=r"is asynchronous.*add_async"):
            outbox.add(connection, cancel(), settings=settings)
    await engine.dispose()
    plain = sqlite3.connect(file)
    with pytest.raises(OutboxError, match="isn't asynchronous"):
        await outbox.add_async(plain, cancel(), settings=settings)
    plain.close()


def test_something_else_is_refused_with_what_would_do(settings: Settings) -> None:
    with pytest.raises(OutboxError, match=r"doesn't know what to do with builtins\.dict.*Session or Connection"):
        outbox.add({}, cancel(), settings=settings)


def test_a_database_without_an_outbox_is_told_from_one_that_can_have_none() -> None:
    with pytest.raises(OutboxError, match=r"kind 'oracle'.*postgresql, sqlite"):
        outbox.ddl("oracle")


def test_a_bad_event_is_refused_before_anything_is_written(file: Path, settings: Settings) -> None:
    connection = sqlite3.connect(file)
    with pytest.raises(InvalidEvent, match="'job' must be"):
        outbox.add_many(connection, [cancel(), JobCancel(job=7)], settings=settings)  # type: ignore[arg-type]
    with pytest.raises(EventTooLarge):
        outbox.add(connection, JobCancel(job="a", why="x" * 2_000_000), settings=settings)
    with pytest.raises(ContractError, match="not an event class"):
        outbox.add(connection, object(), settings=settings)  # type: ignore[arg-type]
    assert not connection.in_transaction
    connection.close()
    assert rows(file) == []


def test_headers_come_back_as_they_were() -> None:
    headers = [("a", b"text"), ("a", b""), ("b", b"\xff\xfe"), ("c", "\0 \u00fc".encode())]
    assert headers_from_text(headers_as_text(headers)) == headers


@pytest.mark.parametrize("text", ["", "{", "[1]", '[["a"]]', '[["a", null]]', json.dumps([["a", 5]])])
def test_headers_that_somebody_else_wrote_are_told(text: str) -> None:
    with pytest.raises(DecodeError, match="headers can't be read"):
        headers_from_text(text)


def test_a_key_has_one_lane_and_keys_are_spread_over_all() -> None:
    assert len({lane_of("t", b"k", str(number)) for number in range(50)}) == 1
    assert {lane_of("t", None, str(number)) for number in range(200)} == set(range(8))
