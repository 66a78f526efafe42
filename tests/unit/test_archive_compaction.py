"""Which files are put together: small ones of past days, those of one stretch with each other, and none for nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.archive import compaction
from consumers.archive.compaction import Compaction, bundles
from consumers.archive.settings import load_archive_settings
from tests.unit.archive_samples import (
    DAY_MS,
    NOON_MS,
    SCHEMA,
    TOPIC,
    TOPIC_ID,
    OneSchema,
    commit,
    committer,
    made_of,
    message,
    visible,
)
from tidemill.config import load_settings
from tidemill.decoder import WriterSchema
from tidemill.errors import ArchiveError
from tidemill.replay.lake import Lake, LakeFile, State
from tidemill.store import Store

TODAY = "2024-10-05"


def file(start: int, size_bytes: int = 10, **more: object) -> LakeFile:
    """A file of ten events."""
    plain = LakeFile(f"{start}", "", "data", 0, start, start + 10, "2024-10-04", 10, 0, size_bytes, "", 0, 0)
    changed = replace(plain, **more)  # type: ignore[arg-type]
    return replace(changed, name=f"{changed.partition}/{changed.date}/{changed.kind}/{start}")


def offsets(*files: LakeFile, target_bytes: int = 100) -> list[list[int]]:
    """First offsets of the files of each bundle."""
    state = State(files={each.name: each for each in files})
    return [[each.start for each in bundle.files] for bundle in bundles(state, target_bytes, TODAY)]


def test_small_files_of_a_past_day_and_a_partition_are_one_bundle() -> None:
    assert offsets(file(0), file(20), file(10)) == [[0, 10, 20]]
    assert offsets(file(0), file(10, partition=1)) == []
    assert offsets(file(0), file(10, date="2024-10-03")) == []


def test_days_that_still_grow_are_left_alone_and_so_are_events_without_a_day() -> None:
    assert offsets(file(0, date=TODAY), file(10, date=TODAY)) == []
    nowhere = "__HIVE_DEFAULT_PARTITION__"
    assert offsets(file(0, date=nowhere), file(10, date=nowhere)) == []


def test_a_bundle_has_a_size_and_large_files_stay_as_they_are() -> None:
    assert offsets(file(0, 40), file(10, 40), file(20, 40), file(30, 40)) == [[0, 10], [20, 30]]
    assert offsets(file(0, 90), file(10, 90)) == []
    assert offsets(file(0, 90), file(10, 40)) == []


def test_what_cannot_be_read_stays_with_the_events_around_it() -> None:
    within = file(3, kind="quarantine", end=5)
    assert offsets(file(0, 95), within, file(10, 40), file(20, 40)) == [[10, 20]]
    assert offsets(file(0, 40), within, file(10, 40)) == [[0, 3, 10]]


def test_what_was_put_together_is_not_put_together_again() -> None:
    assert offsets(file(0, 10), file(0, 10, kind="quarantine")) == []


class Held:
    lost = False


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(compaction, "Registry", lambda settings: _Open())
    monkeypatch.setattr(compaction, "schema_of", lambda registry, topic: WriterSchema(7, SCHEMA))
    return Lake(Store.from_urls((tmp_path / "lake").as_uri()))


class _Open(OneSchema):
    def __enter__(self) -> OneSchema:
        return self

    def __exit__(self, *_: object) -> None:
        return


def compacted(lake: Lake, folder: Path) -> int:
    work = Compaction(load_settings(), load_archive_settings(), lake, TOPIC, folder, threading.Event())
    return len([*work.run(lake.state(TOPIC), Held(), today="2030-01-01")])


def test_the_events_stay_and_the_small_files_go(lake: Lake, tmp_path: Path) -> None:
    for start in range(0, 12, 3):
        commit(lake, start, start + 3)
    commit(lake, 12, 14, timestamp_ms=NOON_MS + DAY_MS)
    assert compacted(lake, tmp_path) == 1
    assert [name.rpartition("/")[2] for name in visible(lake)] == [
        f"00000-{0:020}-{11:020}-00000006.parquet",
        f"00000-{12:020}-{13:020}-00000005.parquet",
    ]
    state = lake.state(TOPIC)
    assert (sum(each.events for each in state.files.values()), state.next_offsets) == (14, {0: 14})
    assert compacted(lake, tmp_path) == 0


def test_columns_are_not_given_up_where_the_schema_is_not_known_any_more(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(lake, 0, 2)
    commit(lake, 2, 4)
    monkeypatch.setattr(compaction, "schema_of", lambda registry, topic: None)
    with pytest.raises(ArchiveError, match="have the column 'number', and no schema of it is registered any more"):
        compacted(lake, tmp_path)
    assert len(visible(lake)) == 2


def test_files_that_hold_other_events_than_the_log_says_are_left_as_they_are(lake: Lake, tmp_path: Path) -> None:
    commit(lake, 0, 3)
    made = made_of([message(3), message(4)])
    made[0].events += 1
    committer(lake).commit(made, topic_id=TOPIC_ID, offsets={0: (3, 6)})
    before = visible(lake)
    with pytest.raises(ArchiveError, match="hold other events than the archive's log says: 5 and not 6"):
        compacted(lake, tmp_path)
    assert visible(lake) == before
