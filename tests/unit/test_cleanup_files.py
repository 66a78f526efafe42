"""Policies for files of the object store: old ones go, young ones and those elsewhere stay."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from streams.cleanup.request import Watch
from tests.unit.cleaning import AS_OF, Site
from tidemill.errors import Reject

POLICY = 'kind = "files"\nprefix = "exports"\nolder_than = "14d"'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    for days in range(0, 28, 2):
        _write(site, f"exports/{days:02d}/file", days)
    _write(site, "exports-of-others/file", 100)
    _write(site, "images/file", 100)
    return site


def _write(site: Site, name: str, days: int) -> None:
    site.store.write(name, b"data", "text/plain")
    then = (AS_OF - timedelta(days=days)).timestamp()
    os.utime(site.folder / "objects" / name, (then, then))


def _names(site: Site) -> list[str]:
    return [info.uri.removeprefix(site.store.home.uri + "/") for info in site.store.list()]


def test_old_files_below_the_prefix_go_and_all_others_stay(site: Site) -> None:
    done = site.run(POLICY)
    kept = [f"exports/{days:02d}/file" for days in range(0, 16, 2)]
    assert _names(site) == [*kept, "exports-of-others/file", "images/file"]
    assert (done.before, done.matched, done.deleted, done.left, done.after) == (14, 6, 6, 0, 8)
    assert (done.stopped_by, done.batches, done.archives) == ("done", 1, [])
    assert site.run(POLICY).deleted == 0


def test_a_dry_run_counts(site: Site) -> None:
    done = site.run(POLICY, dry_run=True)
    assert (done.matched, done.deleted, done.dry_run) == (6, 0, True)
    assert len(_names(site)) == 16


def test_the_oldest_go_first_and_no_more_than_may(site: Site) -> None:
    done = site.run(f"{POLICY}\nmax_rows = 2")
    assert (done.deleted, done.left, done.stopped_by) == (2, 4, "max_rows")
    assert "exports/26/file" not in _names(site)
    assert "exports/22/file" in _names(site)


def test_more_than_the_share_is_refused_unless_told(site: Site) -> None:
    with pytest.raises(Reject, match=r"would remove 6 of 14 files, 42\.9%; at most 20\.0%"):
        site.run(f"{POLICY}\nmax_share = 0.2")
    assert len(_names(site)) == 16
    assert site.run(f"{POLICY}\nmax_share = 0.2", force=True).deleted == 6


def test_a_file_written_anew_meanwhile_stays(site: Site) -> None:
    def touch(done: int, total: int) -> None:
        os.utime(site.folder / "objects/exports/16/file")

    done = site.run(POLICY, watch=Watch(touch))
    assert (done.deleted, done.left) == (5, 1)
    assert "exports/16/file" in _names(site)


def test_a_cancelled_run_stops(site: Site) -> None:
    seen: list[int] = []
    done = site.run(POLICY, watch=Watch(lambda done, total: seen.append(done), lambda: len(seen) == 2))
    assert (done.deleted, done.stopped_by) == (2, "cancelled")


def test_links_out_of_the_store_are_neither_followed_nor_removed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    os.utime(tmp_path / "secret" / "key", (0, 0))
    (site.folder / "objects/exports/link").symlink_to(tmp_path / "secret")
    assert site.run(POLICY).deleted == 6
    assert (tmp_path / "secret" / "key").exists()


def test_a_prefix_without_files_is_no_mistake(site: Site) -> None:
    done = site.run(POLICY.replace('"exports"', '"nothing/yet"'))
    assert (done.before, done.deleted, done.stopped_by) == (0, 0, "done")
