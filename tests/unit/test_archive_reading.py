"""Reading the archive without Kafka: files whose offsets lie within each other's, and ones that go meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from tests.unit.archive_samples import DAY_MS, NOON_MS, TOPIC, TOPIC_ID, committer, made_of, message
from tidemill.errors import ArchiveError
from tidemill.replay.archived import Archived
from tidemill.replay.lake import Lake
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Range
from tidemill.store import Store


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Six events of two days in turn: two files, whose offsets lie within each other's."""
    lake = Lake(Store.from_urls((tmp_path / "lake").as_uri()))
    made = made_of([message(offset, timestamp_ms=NOON_MS + offset % 2 * DAY_MS) for offset in range(6)])
    committer(lake).commit(made, topic_id=TOPIC_ID, offsets={0: (0, 6)})
    return lake


def archived(lake: Lake) -> Archived:
    return Archived(lake, TOPIC, make_query(TOPIC), [Range(0, 0, 6)], values=True, messages=False)


def test_files_whose_offsets_lie_within_each_others_are_read_in_order(lake: Lake) -> None:
    assert [offset for each in archived(lake).slices() for offset in each.offsets] == [*range(6)]


def test_a_file_that_is_gone_is_named_and_those_beside_it_are_closed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[BinaryIO] = []
    open_object = lake.store.open

    def noted(uri: str) -> BinaryIO:
        opened.append(open_object(uri))
        return opened[-1]

    monkeypatch.setattr(lake.store, "open", noted)
    last = max(lake.state(TOPIC).files.values(), key=lambda file: file.start)
    lake.store.delete(lake.store.uri(last.name))
    with pytest.raises(ArchiveError, match=f"{last.name} of the archive is missing"):
        [*archived(lake).slices()]
    assert opened
    assert all(file.closed for file in opened)
