"""Clean-up on a real Postgres: types, locks, limits, and workers that get in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.cleanup.request import Watch
from tests.integration.postgres import Postgres
from tests.unit.cleaning import AS_OF, Site
from tidemill.errors import Reject, RetryAfter

OLD, YOUNG = AS_OF - timedelta(days=100), AS_OF - timedelta(days=1)
ARCHIVE = 'archive = "archive"\nbatch_rows = 5'


class Shop(Site):
    """A site whose database is in Postgres; `db` is a connection to it that commits each statement."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url)
        self.db = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement; its rows."""
        cursor = self.db.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def fill(self, old: int, young: int, more: str = "") -> None:
        """As in SQLite, with ages as they are in Postgres."""
        self.sql(f"CREATE TABLE sessions (id bigint PRIMARY KEY, seen timestamptz, state text{more})")
        for first, last, seen in ((1, old, OLD), (old + 1, old + young, YOUNG)):
            self.sql(
                "INSERT INTO sessions (id, seen, state) "
                "SELECT n, %s + n * interval '1 second', 'open' FROM generate_series(%s::int, %s::int) n",
                seen,
                first,
                last,
            )


@pytest.fixture
def shop(tmp_path: Path, postgres: Postgres) -> Iterator[Shop]:
    shop = Shop(tmp_path, postgres.new_database())
    with shop.db:
        yield shop


def test_old_rows_are_archived_and_go(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    done = shop.run(ARCHIVE)
    assert shop.ids() == list(range(13, 43))
    assert [row["id"] for row in shop.archived()] == list(range(1, 13))
    assert (done.before, done.matched, done.deleted, done.after, done.batches) == (42, 12, 12, 30, 3)


def test_values_of_every_type_come_out_of_the_archive_as_they_went_in(shop: Shop) -> None:
    shop.sql("CREATE TYPE mood AS ENUM ('ok')")
    shop.sql(
        'CREATE TABLE "Odd ""Table" (id uuid PRIMARY KEY, seen timestamp, d date, n numeric(9, 2), big numeric, '
        "f float8, ok boolean, b bytea, j jsonb, tags text[], m mood, at timestamptz, ip inet, span interval, c text)"
    )
    shop.sql(
        'INSERT INTO "Odd ""Table" VALUES '
        "('11111111-2222-3333-4444-555555555555', '2020-01-01 10:00', '2020-01-02', 12.5, 1e30, 'NaN', true, "
        "'\\x00ff', '{\"a\": 1}', '{x,NULL,\"y,z\"}', 'ok', '2020-01-01 10:00+02', '10.0.0.1', '1 day 02:00', '100%')"
    )
    condition = "c LIKE '%\\%%' AND seen::date < '2021-01-01'"
    policy = f"table = '\"Odd \"\"Table\"'\narchive = 'archive'\ncondition = '''{condition}'''"
    assert shop.run(policy, force=True).deleted == 1
    (row,) = shop.archived()
    assert repr(row.pop("f")) == "nan"
    assert row == {
        "id": "11111111-2222-3333-4444-555555555555",
        "seen": datetime(2020, 1, 1, 10),
        "d": date(2020, 1, 2),
        "n": Decimal("12.50"),
        "big": "1000000000000000000000000000000",
        "ok": True,
        "b": b"\x00\xff",
        "j": '{"a": 1}',
        "tags": '{x,NULL,"y,z"}',
        "m": "ok",
        "at": datetime(2020, 1, 1, 8, tzinfo=UTC),
        "ip": "10.0.0.1/32",
        "span": "1 day 02:00:00",
        "c": "100%",
    }


@pytest.mark.parametrize(
    ("kind", "zone", "goes", "stays"),
    [
        ("timestamptz", "UTC", "2026-08-26 02:59:59+00", "2026-08-26 03:00:00+00"),
        ("timestamp", "UTC", "2026-08-26 02:59:59", "2026-08-26 03:00:00"),
        ("timestamp", "Europe/Paris", "2026-08-26 04:59:59", "2026-08-26 05:00:00"),
        ("date", "UTC", "2026-08-25", "2026-08-26"),
        ("timestamptz", "UTC", "-infinity", "infinity"),
    ],
)
def test_ages_are_compared_by_the_columns_own_type(shop: Shop, kind: str, zone: str, goes: str, stays: str) -> None:
    shop.sql(f"CREATE TABLE sessions (id int PRIMARY KEY, seen {kind})")
    for number, seen in enumerate((goes, stays, None)):
        shop.sql("INSERT INTO sessions VALUES (%s, %s)", number, seen)
    assert shop.run(f'timezone = "{zone}"').deleted == 1
    assert shop.ids() == [1, 2]


def test_a_column_that_tells_no_age_is_refused(shop: Shop) -> None:
    shop.fill(old=1, young=1)
    with pytest.raises(Reject, match="Column 'state' is TEXT, which tells no age"):
        shop.run('age = "state"')


def test_rows_that_others_hold_are_left_for_the_next_run(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    with psycopg.connect(shop.url.replace("+psycopg", "")) as other:
        other.execute("SELECT FROM sessions WHERE id IN (3, 4) FOR UPDATE")
        done = shop.run(ARCHIVE)
    assert (done.deleted, done.left, done.stopped_by) == (10, 2, "done")
    assert shop.ids()[:3] == [3, 4, 13]
    assert shop.run(ARCHIVE, event_id="event-2").deleted == 2


def test_a_table_that_is_locked_is_waited_for_but_not_for_long(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    with psycopg.connect(shop.url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE sessions")
        with pytest.raises(RetryAfter, match="lock timeout"):
            shop.run("lock_seconds = 0.1")
    assert len(shop.ids()) == 42


def test_a_statement_that_takes_too_long_is_ended(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    with pytest.raises(RetryAfter, match="statement timeout"):
        shop.run("statement_seconds = 0.2\ncondition = 'id > 0 AND pg_sleep(1) IS NOT NULL'")
    assert len(shop.ids()) == 42


def test_a_condition_that_writes_is_refused_by_the_database(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    shop.sql("CREATE TABLE seen_by (id bigint)")
    shop.sql(
        "CREATE FUNCTION note(bigint) RETURNS boolean LANGUAGE sql AS 'INSERT INTO seen_by VALUES ($1); SELECT true'"
    )
    with pytest.raises(Reject, match="cannot execute INSERT in a read-only transaction"):
        shop.run("condition = 'note(id)'")
    assert shop.sql("SELECT count(*) FROM seen_by") == [(0,)]
    assert len(shop.ids()) == 42


def test_a_second_run_waits_even_while_the_first_is_between_two_transactions(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    refused: list[str] = []

    def again(done: int, total: int) -> None:
        with pytest.raises(RetryAfter) as caught:
            shop.run(event_id="event-2")
        refused.append(caught.value.message)

    assert shop.run("batch_rows = 5", watch=Watch(again)).deleted == 12
    assert len(refused) == 4
    assert shop.run(event_id="event-2").deleted == 0, "the lock ends with its run"


def test_a_connection_cut_in_the_middle_is_tried_again_and_doubles_nothing(shop: Shop) -> None:
    shop.fill(old=12, young=30)

    def cut(done: int, total: int) -> None:
        if done == 5:
            shop.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill cleanup'"
            )

    with pytest.raises(RetryAfter, match="didn't do it now"):
        shop.run(ARCHIVE, watch=Watch(cut))
    done = shop.run(ARCHIVE)
    assert (done.deleted_earlier, done.deleted) == (5, 7)
    assert [row["id"] for row in shop.archived()] == list(range(1, 13))


def test_rows_that_others_refer_to_are_named_in_postgres_words(shop: Shop) -> None:
    shop.fill(old=12, young=30)
    shop.sql("CREATE TABLE payments (session bigint REFERENCES sessions)")
    shop.sql("INSERT INTO payments VALUES (3)")
    with pytest.raises(Reject, match=r'Key \(id\)=\(3\) is still referenced from table "payments"'):
        shop.run(ARCHIVE)
    assert len(shop.ids()) == 42
    assert shop.archived() == []
    shop.sql("DROP TABLE payments")
    shop.sql("CREATE TABLE marks (session bigint REFERENCES sessions ON DELETE CASCADE)")
    with pytest.raises(Reject, match=r"rows of marks would go \(ON DELETE CASCADE\)"):
        shop.run()


def test_schemas_views_and_partitions_are_told_apart(shop: Shop) -> None:
    shop.sql("CREATE SCHEMA other")
    shop.sql("CREATE TABLE other.sessions (id int, seen date)")
    shop.sql("INSERT INTO other.sessions VALUES (1, '2020-01-01'), (1, '2020-01-01')")
    assert shop.run('table = "other.sessions"\nbatch_rows = 1').deleted == 2, "without a primary key"
    shop.sql("CREATE MATERIALIZED VIEW recent AS SELECT * FROM other.sessions")
    with pytest.raises(Reject, match="is a view"):
        shop.run('table = "recent"')
    shop.sql("CREATE TABLE parted (id int, seen date) PARTITION BY RANGE (seen)")
    shop.sql("CREATE TABLE parted_old PARTITION OF parted FOR VALUES FROM ('2019-01-01') TO ('2026-01-01')")
    with pytest.raises(Reject, match="has partitions and no primary key"):
        shop.run('table = "parted"')
    shop.sql("ALTER TABLE parted ADD PRIMARY KEY (id, seen)")
    shop.sql("INSERT INTO parted VALUES (1, '2020-01-01')")
    assert shop.run('table = "parted"\narchive = "archive"').deleted == 1


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    shop = Site(tmp_path, "postgresql://app:secret@127.0.0.1:1/shop")
    with pytest.raises(RetryAfter, match=r"didn't do it now: .*refused") as caught:
        shop.run()
    assert "secret" not in str(caught.value)
