"""What the relay decides without Kafka: schema ids, the books, lanes' shares, and its statements, on SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from producers.outbox import books, rows
from producers.outbox.locks import FileLock, fair_share
from producers.outbox.rows import Waiting
from producers.outbox.schemas import Schemas
from producers.outbox.settings import load_outbox_settings
from tidemill import outbox
from tidemill.contracts.registry import Registered
from tidemill.errors import BrokerError, ConfigError, DecodeError, SchemaNotRegistered
from tidemill.outbox.single_object import fingerprint_of, packed


def schema(*fields: str, doc: str = "") -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Thing",
        "doc": doc,
        "fields": [{"name": name, "type": "string", "default": ""} for name in fields],
    }


class FakeRegistry:
    """Versions of one subject; counts how often it was asked."""

    def __init__(self, *schemas: dict[str, Any]) -> None:
        self.found = [Registered("t-value", number, 100 + number, found) for number, found in enumerate(schemas, 1)]
        self.asked = 0

    def versions(self, subject: str) -> list[Registered]:
        self.asked += 1
        return self.found if subject == "t-value" else []


def value(of: dict[str, Any], body: bytes = b"body") -> bytes:
    return packed(json.dumps(of), b"\0\0\0\0\0" + body)


def test_the_fingerprint_is_the_one_of_the_specification() -> None:
    # From Avro's own tests, share/test/data/schema-tests.txt: "int".
    assert fingerprint_of({"type": "int"}) == bytes.fromhex("7275d51a3f395c8f")


def test_a_value_gets_the_id_of_the_version_it_was_written_with() -> None:
    old, new = schema("a"), schema("a", "b")
    registry = FakeRegistry(old, new)
    schemas = Schemas(registry)
    assert schemas.wire("t-value", value(old)) == b"\0\0\0\0\x65body"
    assert schemas.wire("t-value", value(new)) == b"\0\0\0\0\x66body"
    assert registry.asked == 1


def test_of_versions_that_are_read_alike_the_newest_counts() -> None:
    schemas = Schemas(FakeRegistry(schema("a"), schema("a", doc="now with a comment")))
    assert schemas.wire("t-value", value(schema("a"))) == b"\0\0\0\0\x66body"


def test_a_schema_that_isnt_registered_is_told_and_found_once_it_is() -> None:
    registry = FakeRegistry(schema("a"))
    schemas = Schemas(registry)
    with pytest.raises(SchemaNotRegistered, match=r"'t-value' in the registry has the fingerprint .*schemas register"):
        schemas.wire("t-value", value(schema("c")))
    registry.found.append(Registered("t-value", 2, 7, schema("c")))
    assert schemas.wire("t-value", value(schema("c"))) == b"\0\0\0\0\x07body"


@pytest.mark.parametrize("found", [b"", b"\xc3", b"\xc3\x01short", b"\0\0\0\0\x01body-of-the-wire-format"])
def test_a_value_that_is_none_is_told(found: bytes) -> None:
    with pytest.raises(DecodeError, match="single-object encoding"):
        Schemas(FakeRegistry()).wire("t-value", found)


def waiting(number: int, event_id: str) -> Waiting:
    return Waiting(number, event_id, "t", "t-value", b"k", b"", "[]")


def test_the_books_tell_which_rows_were_published() -> None:
    record = books.rows_of(books.entry([waiting(5, "a"), waiting(7, "b")]))
    assert books.already_published(record, {5: "a", 6: "x", 7: "b"}) == [5, 7]


def test_a_row_that_only_has_the_number_of_a_published_one_is_not_removed() -> None:
    record = books.rows_of(books.entry([waiting(5, "a")]))
    assert books.already_published(record, {5: "another event, in a table that was made anew"}) == []


def test_no_record_is_no_row_and_a_foreign_one_an_error() -> None:
    assert books.rows_of(None) == {}
    with pytest.raises(BrokerError, match=r"outbox\.books.*find out who else"):
        books.rows_of(b"hello")


@pytest.mark.parametrize(("relays", "share"), [(0, 8), (1, 8), (2, 4), (3, 3), (8, 1), (20, 1)])
def test_lanes_are_shared_evenly(relays: int, share: int) -> None:
    assert fair_share(relays) == share


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as plain:
        plain.executescript(outbox.ddl("sqlite"))
        insert = "INSERT INTO tidemill_outbox (lane, event_id, type, topic, subject, key, value, headers) VALUES "
        for number in range(10):
            values = (f"e{number}", f"k{number % 2}".encode(), b"x" * 100)
            plain.execute(insert + "(3, ?, 't', 't', 't-value', ?, ?, '[]')", values)
    plain.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as found:
        yield found
    engine.dispose()


def taken(connection: Connection, **limits: int) -> list[int]:
    return [row.id for row in rows.take(connection, 3, **{"most_rows": 100, "most_bytes": 10**6, **limits})]


def test_rows_are_taken_in_order_up_to_the_limits(connection: Connection) -> None:
    assert taken(connection) == [*range(1, 11)]
    assert taken(connection, most_rows=3) == [1, 2, 3]
    assert taken(connection, most_bytes=250) == [1, 2, 3]
    assert taken(connection, most_bytes=1) == [1]
    assert rows.take(connection, 4, most_rows=9, most_bytes=9) == []


def test_held_rows_are_passed_over_until_they_are_released(connection: Connection) -> None:
    rows.hold(connection, {1: "no topic", 3: "waits behind row 1"})
    assert taken(connection, most_rows=3) == [2, 4, 5]
    assert rows.held_keys(connection, 3) == {("t", b"k0"): 1}
    assert [(row, why) for row, _, _, why in rows.problems(connection, 1)] == [(1, "no topic")]
    (state,) = rows.states(connection)
    assert (state.lane, state.rows, state.held) == (3, 10, 2)
    assert rows.release(connection, 3) == 2
    assert taken(connection, most_rows=3) == [1, 2, 3]


def test_only_the_rows_named_are_removed(connection: Connection) -> None:
    assert rows.remove(connection, [2, 4, 99]) == 2
    assert rows.event_ids(connection, [1, 2, 3]) == {1: "e0", 3: "e2"}


def test_a_file_belongs_to_one_relay_and_is_free_after_it(tmp_path: Path, connection: Connection) -> None:
    first, second = FileLock(str(tmp_path / "shop.db")), FileLock(str(tmp_path / "shop.db"))
    assert first.take(connection, 0)
    assert first.take(connection, 1)
    assert not second.take(connection, 0)
    first.close()
    assert second.take(connection, 0)
    second.close()
    assert not list(tmp_path.glob("*.lock"))


def test_settings_that_dont_fit_are_told_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_OUTBOX_URL", "postgresql://me:secret@db/shop")
    monkeypatch.setenv("TIDEMILL_OUTBOX_BATCH_ROWS", "5000")
    with pytest.raises(ConfigError, match="TIDEMILL_OUTBOX_BATCH_ROWS: Input should be less") as caught:
        load_outbox_settings()
    assert "secret" not in str(caught.value)
