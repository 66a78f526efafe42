"""Archives of what goes: exact, whole, and each row in them once, whenever the worker is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.cleanup.archive import Archive
from tests.unit.cleaning import Site
from tidemill.errors import Reject, StoreError
from tidemill.events import CleanupArchive
from tidemill.store import Store

ARCHIVE = 'archive = "archive"\nbatch_rows = 5'
ROOT = Path(__file__).parents[2]
CHILD = """
import os, signal, sys
from pathlib import Path
from streams.cleanup.archive import Archive
from tests.unit.cleaning import Site

folder, policy, where, batch = sys.argv[1:]
keep = Archive.keep

def keep_and_die(self, number, rows):
    if where == "before the archive" and number == int(batch):
        os.kill(os.getpid(), signal.SIGKILL)
    file = keep(self, number, rows)
    if where == "before the commit" and number == int(batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return file

def watch(done, total):
    print(done, flush=True)
    if where == "after the commit" and done == 5 * int(batch):
        os.kill(os.getpid(), signal.SIGKILL)

Archive.keep = keep_and_die
from streams.cleanup.request import Watch
Site(Path(folder)).run(policy, watch=Watch(watch))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _child(site: Site, policy: str, where: str, batch: int) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", CHILD, str(site.folder), policy, where, str(batch)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)


class _Killed(BaseException):
    """As a kill: nothing of ours looks at it."""


def _die_before_the_commit(monkeypatch: pytest.MonkeyPatch, site: Site, policy: str, batch: int) -> None:
    keep = Archive.keep

    def keep_and_die(self: Archive, number: int, rows: list[tuple[object, ...]]) -> CleanupArchive:
        file = keep(self, number, rows)
        if number == batch:
            raise _Killed
        return file

    with monkeypatch.context() as patched:
        patched.setattr(Archive, "keep", keep_and_die)
        with pytest.raises(_Killed):
            site.run(policy)


def _archived_ids(site: Site) -> list[int]:
    return [row["id"] for row in site.archived()]


def test_what_goes_is_in_the_archive_and_nothing_else(site: Site) -> None:
    site.fill(old=12, young=30)
    done = site.run(ARCHIVE)
    assert _archived_ids(site) == list(range(1, 13))
    assert site.archived()[0] == {"id": 1, "user": "user-1", "seen": "2026-08-16 03:00:01", "state": "open"}
    assert [(file.rows, file.uri.rpartition("/")[2][:6]) for file in done.archives] == [
        (5, "000001"),
        (5, "000002"),
        (2, "000003"),
    ]
    for file in done.archives:
        assert site.store.head(file.uri).size_bytes == file.bytes
        assert f"-{file.sha256[:16]}.parquet" in file.uri
        assert "/archive/sessions/2026-11-24/event-1/" in file.uri


def test_an_archive_tells_where_its_rows_come_from_and_all_of_a_table_have_one_schema(site: Site) -> None:
    site.fill(old=12, young=0, more=", note TEXT")
    site.sql("UPDATE sessions SET note = 'x' WHERE id > 6")
    site.run(ARCHIVE)
    first, *rest = site.archives()
    assert all(table.schema.equals(first.schema) for table in rest)
    assert first.schema.metadata == {
        b"tidemill.policy": b"sessions",
        b"tidemill.table": b"sessions",
        b"tidemill.event": b"event-1",
        b"tidemill.as_of": b"2026-11-24T03:00:00+00:00",
    }


def test_values_come_out_of_the_archive_as_they_went_in(site: Site) -> None:
    site.sql(
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen DATETIME, n INTEGER, r REAL, b BLOB, d DECIMAL(9, 2))"
    )
    site.sql("INSERT INTO sessions VALUES (1, '2020-01-01', 9007199254740993, 0.1, x'00ff', 12.5)")
    site.sql("INSERT INTO sessions VALUES (2, '2020-01-01T00:00:00Z', NULL, NULL, NULL, NULL)")
    site.run('archive = "archive"')
    assert site.archived() == [
        {"id": 1, "seen": "2020-01-01", "n": 9007199254740993, "r": 0.1, "b": b"\x00\xff", "d": "12.5"},
        {"id": 2, "seen": "2020-01-01T00:00:00Z", "n": None, "r": None, "b": None, "d": None},
    ]


@pytest.mark.parametrize(("column", "value"), [("n INTEGER", "'many'"), ("n INTEGER", "2.5"), ("b BLOB", "'text'")])
def test_a_value_that_would_not_be_kept_exactly_is_named_and_nothing_goes(site: Site, column: str, value: str) -> None:
    site.sql(f"CREATE TABLE sessions (id INTEGER PRIMARY KEY, seen DATETIME, {column})")
    site.sql(f"INSERT INTO sessions VALUES (1, '2020-01-01', {value})")
    with pytest.raises(Reject, match=rf"Column '{column[0]}' holds a value that \w+ can't hold exactly"):
        site.run(ARCHIVE)
    assert site.ids() == [1]
    assert site.archived() == []


def test_without_an_archive_nothing_goes(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    site.fill(old=12, young=30)
    with monkeypatch.context() as patched:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patched.setattr("os.write", full)
        with pytest.raises(StoreError, match="No space left on device"):
            site.run(ARCHIVE)
    assert len(site.ids()) == 42
    with monkeypatch.context() as patched:
        patched.setattr(Store, "read", lambda self, uri, max_bytes: b"something else")
        with pytest.raises(StoreError, match="reads back otherwise") as caught:
            site.run(ARCHIVE)
        assert caught.value.retriable
    assert len(site.ids()) == 42
    assert site.archived() == [], "an archive that can't be trusted is removed"
    assert site.run(ARCHIVE).deleted == 12


@pytest.mark.parametrize("where", ["before the archive", "before the commit", "after the commit"])
def test_a_worker_killed_half_way_leaves_each_row_in_the_table_or_in_the_archive(site: Site, where: str) -> None:
    site.fill(old=12, young=30)
    with _child(site, ARCHIVE, where, 2) as child:
        assert child.wait(60) == -signal.SIGKILL
    left, archived = site.ids(), _archived_ids(site)
    assert set(left) | set(archived) == set(range(1, 43)), "a row is lost"
    assert set(left) & set(archived) == ({6, 7, 8, 9, 10} if where == "before the commit" else set())
    done = site.run(ARCHIVE)
    assert site.ids() == list(range(13, 43))
    assert sorted(_archived_ids(site)) == list(range(1, 13)), "a row is lost, or archived twice"
    assert done.deleted + done.deleted_earlier == 12
    assert sum(file.rows for file in done.archives) == 12
    assert done.before == 42 - done.deleted_earlier


def test_a_worker_killed_at_any_moment_again_and_again_loses_and_doubles_nothing(site: Site) -> None:
    site.fill(old=200, young=30)
    policy = 'archive = "archive"\nbatch_rows = 2\nmax_time = "60s"'
    chance = random.Random(7)
    for _ in range(int(os.environ.get("TIDEMILL_CLEANUP_KILLS", "2"))):
        with _child(site, policy, "never", 0) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.15))
            child.send_signal(signal.SIGKILL)
        assert set(site.ids()) | set(_archived_ids(site)) == set(range(1, 231)), "a row is lost"
    done = site.run(policy)
    assert site.ids() == list(range(201, 231))
    assert sorted(_archived_ids(site)) == list(range(1, 201)), "a row is lost, or archived twice"
    assert done.deleted + done.deleted_earlier == 200
    assert len({file.uri for file in done.archives}) == len(done.archives) == len(list(site.archives()))


def test_a_row_changed_after_the_crash_is_archived_as_it_was_and_as_it_is(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    site.fill(old=12, young=30)
    _die_before_the_commit(monkeypatch, site, ARCHIVE, 1)
    site.sql("UPDATE sessions SET state = 'closed' WHERE id = 3")
    site.sql("UPDATE sessions SET seen = '2026-11-24 00:00:00' WHERE id = 4")
    site.run(ARCHIVE)
    assert site.ids() == [4, *range(13, 43)], "a row that is used again stays"
    found = sorted((row["id"], row["state"]) for row in site.archived())
    assert [row for row in found if row[0] == 3] == [(3, "closed"), (3, "open")]
    assert [row for row in found if row[0] not in (3, 4)] == [(number, "open") for number in (1, 2, *range(5, 13))]


def test_the_limit_counts_what_earlier_tries_have_removed(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    site.fill(old=12, young=30)
    policy = f"{ARCHIVE}\nmax_rows = 8"
    _die_before_the_commit(monkeypatch, site, policy, 2)
    assert len(site.ids()) == 37
    done = site.run(policy)
    assert (done.deleted_earlier, done.deleted, done.left, done.stopped_by) == (5, 3, 4, "max_rows")
    assert sorted(_archived_ids(site)) == list(range(1, 9))


def test_another_event_begins_anew(site: Site) -> None:
    site.fill(old=12, young=30)
    site.run(f"{ARCHIVE}\nmax_rows = 5")
    done = site.run(ARCHIVE, event_id="job@2026-11-25T03:00:00+00:00 ../x")
    assert (done.deleted, done.deleted_earlier) == (7, 0)
    assert sorted(_archived_ids(site)) == list(range(1, 13))
    assert all("/../" not in file.uri for file in done.archives)


def test_an_earlier_archive_that_is_damaged_stops_the_run(site: Site) -> None:
    site.fill(old=12, young=30)
    done = site.run(f"{ARCHIVE}\nmax_rows = 5")
    path = Path(done.archives[0].uri.removeprefix("file://"))
    os.truncate(path, 100)
    with pytest.raises(StoreError, match=r"Archive .* is damaged"):
        site.run(ARCHIVE)
    assert len(site.ids()) == 37
