"""Policies for tables, on SQLite: exactly what is meant goes, oldest first, and a mistake removes nothing."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.cleanup.request import Watch
from tests.unit.cleaning import AS_OF, Site
from tidemill.errors import ConfigError, Reject, RetryAfter


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_old_rows_go_and_young_ones_stay(site: Site) -> None:
    site.fill(old=12, young=30)
    done = site.run("batch_rows = 5")
    assert site.ids() == list(range(13, 43))
    assert (done.before, done.matched, done.deleted, done.left, done.after) == (42, 12, 12, 0, 30)
    assert (done.batches, done.stopped_by, done.archives, done.dry_run) == (3, "done", [], False)
    again = site.run()
    assert (again.before, again.deleted, again.batches) == (30, 0, 0)


def test_a_dry_run_counts_and_removes_nothing(site: Site) -> None:
    site.fill(old=12, young=30)
    for done in (site.run(dry_run=True), site.run("dry_run = true"), site.run('archive = "archive"', dry_run=True)):
        assert (done.before, done.matched, done.deleted, done.after, done.dry_run) == (42, 12, 0, 42, True)
    assert len(site.ids()) == 42
    assert site.archived() == []


def test_more_than_the_share_is_refused_unless_told(site: Site) -> None:
    site.fill(old=12, young=30)
    with pytest.raises(Reject, match=r"would remove 12 of 42 rows, 28\.6%; at most 20\.0% may go in one run") as caught:
        site.run("max_share = 0.2")
    assert caught.value.hint is not None
    assert "force" in caught.value.hint
    assert len(site.ids()) == 42
    assert site.run("max_share = 0.2", dry_run=True).matched == 12
    assert site.run("max_share = 0.2\nmax_rows = 8").deleted == 8, "8 of 42 is less than a fifth"
    assert site.run("max_share = 0.05", force=True).deleted == 4


def test_the_oldest_go_first_where_not_all_may_go(site: Site) -> None:
    site.fill(old=12, young=30)
    done = site.run("max_rows = 7\nbatch_rows = 3")
    assert site.ids()[0] == 8
    assert (done.deleted, done.left, done.stopped_by) == (7, 5, "max_rows")


def test_a_run_out_of_time_or_cancelled_stops_between_two_batches(site: Site) -> None:
    site.fill(old=12, young=30)
    seen: list[tuple[int, int]] = []
    watch = Watch(lambda done, total: seen.append((done, total)), lambda: len(seen) > 2)
    done = site.run("batch_rows = 2", watch=watch)
    assert (done.deleted, done.left, done.stopped_by) == (4, 8, "cancelled")
    assert seen == [(0, 12), (2, 12), (4, 12)]
    done = site.run('batch_rows = 2\nmax_time = "1s"\npause_seconds = 0.6')
    assert done.stopped_by == "time"
    assert 0 < done.deleted < 8
    assert done.left == 8 - done.deleted


def test_age_and_condition_must_both_hold(site: Site) -> None:
    site.fill(old=12, young=30)
    site.sql("UPDATE sessions SET state = 'closed' WHERE id IN (3, 4, 20)")
    assert site.run("condition = \"state = 'closed'\"\nage = 'seen'\nolder_than = '90d'").deleted == 2
    assert site.run("condition = \"state = 'closed' OR 100 % 7 = 0 AND user LIKE '%:x'\"").deleted == 1
    assert len(site.ids()) == 39


def test_a_condition_that_is_a_number_means_what_sqlite_means(site: Site) -> None:
    site.fill(old=4, young=4)
    assert site.run("condition = 'id & 6'").deleted == 6


def test_rows_without_an_age_and_from_the_future_stay(site: Site) -> None:
    site.sql("CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen DATETIME)")
    ages = [None, "", "soon", "12:30", "1700000", 5, 1700000000, b"2020-01-01", "2999-01-01 00:00:00", "2020-13-45"]
    for age in ages:
        site.sql("INSERT INTO sessions (seen) VALUES (?)", age)
    site.sql("INSERT INTO sessions (seen) VALUES ('2020-01-01 00:00:00')")
    assert site.run().deleted == 1
    assert len(site.ids()) == len(ages)


@pytest.mark.parametrize(
    ("age", "goes"),
    [
        ("2026-08-26 02:59:59", True),
        ("2026-08-26 03:00:00", False),
        ("2026-08-26T02:59:59.999", True),
        ("2026-08-26T03:00:00Z", False),
        ("2026-08-26T04:59:59+02:00", True),
        ("2026-08-26T05:00:00+02:00", False),
        ("2026-08-25T21:00:00-06:00", False),
        ("2026-08-26", True),
    ],
)
def test_every_form_of_a_time_is_understood(site: Site, age: str, goes: bool) -> None:
    site.sql("CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen TIMESTAMP)")
    site.sql("INSERT INTO sessions (seen) VALUES (?)", age)
    assert site.run().deleted == goes


@pytest.mark.parametrize(
    ("age", "goes"), [("2026-08-26 04:59:59", True), ("2026-08-26 05:00:00", False), ("2026-08-26T03:00:00Z", False)]
)
def test_times_without_a_zone_are_meant_in_the_policys(site: Site, age: str, goes: bool) -> None:
    site.sql("CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen TIMESTAMP)")
    site.sql("INSERT INTO sessions (seen) VALUES (?)", age)
    assert site.run('timezone = "Europe/Paris"').deleted == goes


def test_of_a_date_the_whole_day_must_be_old(site: Site) -> None:
    site.sql("CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen DATE)")
    for day in ("2026-08-25", "2026-08-26", "2026-08-27"):
        site.sql("INSERT INTO sessions (seen) VALUES (?)", day)
    assert site.run().deleted == 1


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "microseconds"])
def test_numbers_count_what_the_policy_says(site: Site, unit: str) -> None:
    per_second = {"seconds": 1, "milliseconds": 1000, "microseconds": 1_000_000}[unit]
    limit = int((AS_OF - timedelta(days=90)).timestamp()) * per_second
    site.sql("CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen INTEGER)")
    for age in (limit - 1, limit, limit + 1, None, "text"):
        site.sql("INSERT INTO sessions (seen) VALUES (?)", age)
    assert site.run(f'age_unit = "{unit}"').deleted == 1
    with pytest.raises(Reject, match=r"Column 'seen' holds numbers .* Add age_unit"):
        site.run()


def test_ages_are_measured_from_the_asked_moment_and_never_from_the_future(site: Site) -> None:
    site.fill(old=12, young=30)
    assert site.run(as_of=AS_OF - timedelta(days=30)).matched == 0
    with pytest.raises(Reject, match="Ages can't be measured from the future"):
        site.run(as_of=datetime.now(UTC) + timedelta(days=400))
    assert len(site.ids()) == 42


def test_a_condition_that_holds_for_every_row_is_refused_unless_told(site: Site) -> None:
    site.fill(old=12, young=30)
    with pytest.raises(Reject, match="holds for all 42 rows of the table"):
        site.run("condition = 'id = id'")
    with pytest.raises(Reject, match=r"names no column of 'sessions'"):
        site.run("condition = 'nothing = nothing'")
    assert len(site.ids()) == 42
    assert site.run("condition = 'id = id'", force=True).deleted == 42


def test_a_condition_with_a_mistake_is_told_in_the_databases_words(site: Site) -> None:
    site.fill(old=12, young=30)
    with pytest.raises(
        Reject, match="The database refuses what policy 'sessions', table 'sessions' asks: no such column"
    ):
        site.run("condition = 'id = 3 AND ident = 4'")
    with pytest.raises(Reject, match="syntax error"):
        site.run("condition = 'id = = 3'")
    assert len(site.ids()) == 42


def test_hostile_names_are_only_names(site: Site) -> None:
    site.sql('CREATE TABLE "a""b; DROP TABLE users" (id INTEGER PRIMARY KEY, "it\'s "" old" DATETIME)')
    site.sql("CREATE TABLE users (id INTEGER)")
    site.sql('INSERT INTO "a""b; DROP TABLE users" VALUES (1, \'2020-01-01\')')
    policy = """table = '"a""b; DROP TABLE users"'\nage = '''it's " old'''\narchive = "archive" """
    assert site.run(policy).deleted == 1
    assert site.sql("SELECT count(*) FROM users") == [(0,)]
    assert site.archived() == [{"id": 1, "it's \" old": "2020-01-01"}]


def test_what_isnt_there_is_named_with_its_like(site: Site) -> None:
    site.fill(old=1, young=1)
    with pytest.raises(Reject, match=r"There is no table 'session' in database .* Did you mean 'sessions'\?"):
        site.run('table = "session"')
    with pytest.raises(Reject, match=r"Table 'sessions' has no column 'sen'\. Did you mean 'seen'\?"):
        site.run('age = "sen"')


def test_a_view_is_refused(site: Site) -> None:
    site.fill(old=1, young=1)
    site.sql("CREATE VIEW recent AS SELECT * FROM sessions")
    with pytest.raises(Reject, match="'recent' is a view; rows are only removed from tables"):
        site.run('table = "recent"')


def test_rows_that_others_refer_to_stay_and_the_message_says_so(site: Site) -> None:
    site.fill(old=12, young=30)
    site.sql("CREATE TABLE payments (id INTEGER PRIMARY KEY, session INTEGER REFERENCES sessions)")
    site.sql("INSERT INTO payments (session) VALUES (3)")
    with pytest.raises(Reject, match=r"can't go, for other rows refer to them: FOREIGN KEY constraint failed"):
        site.run('archive = "archive"')
    assert len(site.ids()) == 42
    assert site.archived() == []
    site.sql("DROP TABLE payments")
    site.sql(
        "CREATE TABLE payments (id INTEGER PRIMARY KEY,"
        " session INTEGER REFERENCES sessions DEFERRABLE INITIALLY DEFERRED)"
    )
    site.sql("INSERT INTO payments (session) VALUES (3)")
    with pytest.raises(Reject, match="can't go"):
        site.run('archive = "archive"')
    assert len(site.ids()) == 42
    assert site.archived() == [], "the commit was refused, so that archive was of rows that stay"
    assert (
        site.run('archive = "archive"\ncondition = "id NOT IN (SELECT session FROM payments) AND id < 13"').deleted
        == 11
    )


def test_rows_of_other_tables_go_along_only_where_that_is_allowed(site: Site) -> None:
    site.fill(old=12, young=30)
    site.sql("CREATE TABLE marks (id INTEGER PRIMARY KEY, session INTEGER REFERENCES sessions ON DELETE CASCADE)")
    site.sql("INSERT INTO marks (session) VALUES (3), (20)")
    with pytest.raises(Reject, match=r"rows of marks would go \(ON DELETE CASCADE\)"):
        site.run()
    assert site.run("cascade = true").deleted == 12
    assert site.ids("marks") == [2]


def test_a_trigger_that_keeps_rows_is_noticed_and_undone(site: Site) -> None:
    site.fill(old=12, young=30)
    site.sql("CREATE TRIGGER keep BEFORE DELETE ON sessions WHEN old.id = 3 BEGIN SELECT raise(IGNORE); END")
    with pytest.raises(Reject, match="removed 11 of 12 rows of 'sessions' that were chosen and locked"):
        site.run()
    assert len(site.ids()) == 42


def test_a_table_without_a_primary_key_is_cleaned_but_not_archived(site: Site) -> None:
    site.sql("CREATE TABLE sessions (id INTEGER, seen DATETIME)")
    site.sql("INSERT INTO sessions VALUES (1, '2020-01-01'), (1, '2020-01-01'), (2, '2999-01-01')")
    with pytest.raises(Reject, match="has no primary key, so its rows can't be archived exactly once"):
        site.run('archive = "archive"')
    assert site.run("batch_rows = 1").deleted == 2
    assert site.ids() == [2]


def test_a_key_of_several_columns_and_one_without_rowid_do(site: Site) -> None:
    site.sql("CREATE TABLE sessions (tenant TEXT, id INTEGER, seen DATETIME, PRIMARY KEY (tenant, id)) WITHOUT ROWID")
    site.sql("INSERT INTO sessions VALUES ('a', 1, '2020-01-01'), ('b', 1, '2999-01-01'), ('b', 2, '2020-01-01')")
    assert site.run('archive = "archive"').deleted == 2
    assert site.sql("SELECT tenant, id FROM sessions") == [("b", 1)]
    assert [(row["tenant"], row["id"]) for row in site.archived()] == [("a", 1), ("b", 2)]


def test_a_database_that_isnt_there_is_waited_for_and_not_made(site: Site) -> None:
    with pytest.raises(RetryAfter, match="unable to open database file"):
        site.run()
    assert not site.file.exists()


def test_a_database_in_use_is_waited_for(site: Site) -> None:
    site.fill(old=12, young=30)
    other = sqlite3.connect(site.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(RetryAfter, match="database is locked"):
        site.run("lock_seconds = 0.1")
    assert time.monotonic() - started < 5
    other.execute("ROLLBACK")
    other.close()
    assert site.run("lock_seconds = 0.1").deleted == 12


def test_a_statement_that_takes_too_long_is_ended(site: Site) -> None:
    site.fill(old=2000, young=2000)
    endless = "condition = 'id IN (SELECT count(*) FROM sessions a, sessions b, sessions c WHERE a.id + b.id > c.id)'"
    started = time.monotonic()
    with pytest.raises(RetryAfter, match="interrupted"):
        site.run(f"statement_seconds = 0.2\n{endless}")
    assert time.monotonic() - started < 5


def test_a_second_run_of_a_policy_waits_for_the_first(site: Site) -> None:
    site.fill(old=12, young=30)
    refused: list[str] = []

    def again(done: int, total: int) -> None:
        with pytest.raises(RetryAfter) as caught:
            site.run(event_id="event-2")
        refused.append(caught.value.message)

    assert site.run(watch=Watch(again)).deleted == 12
    assert set(refused) == {"Another run of the policy 'sessions' is under way."}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://app:secret@db/x", "is 'mysql', expected PostgreSQL"),
        ("no url: secret", "can't be read"),
        ("sqlite://", "names a database in memory"),
    ],
)
def test_a_database_that_cant_be_used_is_a_matter_of_configuration(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Site(tmp_path, url).run()
    assert "secret" not in str(caught.value)
