"""The archive's log: of all who write its next entry one does, and only what is in it is ever seen."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from consumers.archive.committing import Committer, Outrun
from tests.unit.archive_samples import TOPIC, TOPIC_ID, commit, committer, made_of, message, name_of, names, visible
from tidemill.errors import ArchiveError, StoreUnavailable
from tidemill.replay.archived import Archived
from tidemill.replay.lake import INNER, Lake, State, checkpoint_name, log_name
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Gap, Range
from tidemill.store import Store


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    url = tmp_path.as_uri() if request.param == "folder" else f"memory:///{uuid.uuid4().hex}"
    return Lake(Store.from_urls(url))


def offsets_of(lake: Lake, partition: int = 0) -> list[int]:
    """What readers of the log see."""
    state = lake.state(TOPIC)
    query = make_query(TOPIC, on_error="raise")
    ranges = [Range(partition, state.began[partition], state.next_offsets[partition])]
    slices = Archived(lake, TOPIC, query, ranges, values=True, messages=False).slices()
    return [offset for taken in slices for offset in taken.offsets]


def killed(*_: object) -> None:
    """What a kill leaves undone; no code that could tidy up sees it as an error."""
    raise KeyboardInterrupt


def staged(lake: Lake) -> list[str]:
    return [each.uri for each in lake.store.list(f"{INNER}/staged/{TOPIC}")]


def test_what_is_committed_is_seen_by_both_kinds_of_readers(lake: Lake) -> None:
    first, second = commit(lake, 0, 5), commit(lake, 5, 8)
    assert offsets_of(lake) == [*range(8)]
    assert visible(lake) == names([*first.files, *second.files])
    assert visible(lake)[0] == f"topic={TOPIC}/date=2024-10-04/00000-{0:020}-{4:020}-00000001.parquet"
    assert staged(lake) == []
    assert lake.topics() == [TOPIC]


def test_of_two_who_commit_at_once_one_does_and_the_other_leaves_nothing(lake: Lake) -> None:
    one, other = committer(lake), committer(lake)
    entry = one.commit(made_of([message(0), message(1)]), topic_id=TOPIC_ID, offsets={0: (0, 2)})
    with pytest.raises(Outrun):
        other.commit(made_of([message(0)]), topic_id=TOPIC_ID, offsets={0: (0, 1)})
    assert visible(lake) == names(entry.files)
    assert staged(lake) == []
    assert offsets_of(lake) == [0, 1]


def test_a_commit_whose_answer_was_lost_counts_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(store: Store, name: str, data: bytes) -> bool:
        claim(store, name, data)
        raise StoreUnavailable("no answer")

    claim = Store.claim
    commit(lake, 0, 1)
    working = committer(lake)
    made = made_of([message(1)])
    with monkeypatch.context() as patched:
        patched.setattr(Store, "claim", lost)
        working.commit(made, topic_id=TOPIC_ID, offsets={0: (1, 2)})
    assert offsets_of(lake) == [0, 1]
    assert len(visible(lake)) == 2


def test_a_commit_that_the_store_refused_twice_over_is_ones_own_by_its_token(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_and_asked_again(store: Store, name: str, data: bytes) -> bool:
        claim(store, name, data)
        return claim(store, name, data)

    claim = Store.claim
    working = committer(lake)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "claim", written_and_asked_again)
        working.commit(made_of([message(0)]), topic_id=TOPIC_ID, offsets={0: (0, 1)})
    assert offsets_of(lake) == [0]


def test_what_was_killed_after_its_commit_is_published_by_the_next_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Committer, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            commit(lake, 0, 4)
    assert visible(lake) == []
    assert offsets_of(lake) == [0, 1, 2, 3], "readers of the log see it in its place of before"
    assert committer(lake).recover() == 1
    assert visible(lake) == names([*lake.state(TOPIC).files.values()])
    assert offsets_of(lake) == [0, 1, 2, 3]
    assert staged(lake) == []
    assert committer(lake).recover() == 0


def test_what_was_killed_before_its_commit_is_never_seen_and_goes_once_its_number_is_taken(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Committer, "_claim", killed)
        with pytest.raises(KeyboardInterrupt):
            commit(lake, 0, 4)
    assert len(staged(lake)) == 1
    committer(lake).recover()
    assert len(staged(lake)) == 1, "its owner may be alive, and about to commit it"
    entry = commit(lake, 0, 5)
    committer(lake).recover()
    assert staged(lake) == []
    assert visible(lake) == names(entry.files)


def test_one_that_slept_before_publishing_brings_nothing_back(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = committer(lake)
    with monkeypatch.context() as patched:
        patched.setattr(Committer, "publish", lambda *_: 0)
        entry = sleeper.commit(made_of([message(0)]), topic_id=TOPIC_ID, offsets={0: (0, 1)})
    awake = committer(lake)
    awake.recover()
    merged = awake.commit(
        made_of([message(0)]), topic_id=TOPIC_ID, offsets={}, removed=[file.name for file in entry.files]
    )
    sleeper.publish(entry)
    assert visible(lake) == names(merged.files)


def test_the_old_files_go_before_the_new_ones_come(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = commit(lake, 0, 3)
    seen: list[list[str]] = []
    move = Store.move

    def looking(store: Store, name: str, to: str) -> str:
        seen.append(visible(lake))
        return move(store, name, to)

    monkeypatch.setattr(Store, "move", looking)
    made = made_of([message(offset) for offset in range(3)])
    committer(lake).commit(made, topic_id=TOPIC_ID, offsets={}, removed=names(entry.files))
    assert seen == [[]]
    assert offsets_of(lake) == [0, 1, 2]


def test_offsets_that_do_not_follow_are_refused_before_they_are_written(lake: Lake) -> None:
    commit(lake, 0, 3)
    with pytest.raises(ArchiveError, match=r"offsets 4 to 6 of partition 0, which don't follow on 3"):
        commit(lake, 4, 6)
    assert lake.state(TOPIC).sequence == 1
    with pytest.raises(ArchiveError, match=r"replaces topic=nothing, which isn't there"):
        committer(lake).commit([], topic_id=TOPIC_ID, offsets={}, removed=["topic=nothing"])


def test_a_gap_is_remembered(lake: Lake) -> None:
    commit(lake, 0, 3)
    made = made_of([message(10)])
    committer(lake).commit(made, topic_id=TOPIC_ID, offsets={0: (3, 11)}, gaps=[Gap(0, 3, 10)])
    state = lake.state(TOPIC)
    assert state.gaps == [Gap(0, 3, 10)]
    assert state.next_offsets == {0: 11}
    assert offsets_of(lake) == [0, 1, 2, 10]


def test_a_checkpoint_says_what_the_log_says_and_only_saves_reading(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.archive.committing.CHECKPOINT_EVERY", 2)
    for offset in range(7):
        commit(lake, offset, offset + 1)
    plain = State()
    while (entry := lake.entry(TOPIC, plain.sequence + 1)) is not None:
        plain.add(entry)
    assert lake.state(TOPIC) == plain
    assert [name_of(lake, uri) for uri in lake.checkpoints(TOPIC)] == [
        checkpoint_name(TOPIC, 6),
        checkpoint_name(TOPIC, 4),
    ], "the two newest are kept"
    lake.store.delete(next(iter(lake.checkpoints(TOPIC))))
    lake.store.write(checkpoint_name(TOPIC, 6), b"no gzip", "application/gzip")
    assert lake.state(TOPIC) == plain
    assert offsets_of(lake) == [*range(7)]


def test_a_damaged_entry_is_told_and_nothing_is_made_up(lake: Lake) -> None:
    commit(lake, 0, 1)
    lake.store.claim(log_name(TOPIC, 2), b'{"version":1')
    with pytest.raises(ArchiveError, match=r"000000000002.json is damaged") as caught:
        lake.state(TOPIC)
    assert "Restore it" in (caught.value.hint or "")


def test_a_log_of_a_later_version_is_not_guessed_at(lake: Lake) -> None:
    lake.store.claim(log_name(TOPIC, 1), b'{"version":2}')
    with pytest.raises(ArchiveError, match="of version 2, and 1 is known here"):
        lake.state(TOPIC)


def test_a_topic_that_was_made_anew_begins_anew_and_keeps_its_old_files(lake: Lake) -> None:
    old = commit(lake, 0, 3)
    new = commit(lake, 0, 2, topic_id="the-second")
    state = lake.state(TOPIC)
    assert state.next_offsets == {0: 2}
    assert names([*state.former.values()]) == names(old.files)
    assert visible(lake) == names([*old.files, *new.files])
    assert offsets_of(lake) == [0, 1]


def test_a_reader_whose_files_are_replaced_meanwhile_goes_on_where_it_was(lake: Lake) -> None:
    entries = [commit(lake, offset, offset + 2) for offset in range(0, 8, 2)]
    state = lake.state(TOPIC)
    query = make_query(TOPIC, on_error="raise")
    slices = Archived(lake, TOPIC, query, [Range(0, 0, 8)], values=True, messages=False).slices()
    read = next(slices).offsets
    made = made_of([message(offset) for offset in range(8)])
    removed = [file.name for entry in entries for file in entry.files]
    Committer(lake, TOPIC, state).commit(made, topic_id=TOPIC_ID, offsets={}, removed=removed)
    read += [offset for taken in slices for offset in taken.offsets]
    assert read == [*range(8)]


def test_a_file_that_is_missing_is_an_error_and_not_a_hole(lake: Lake) -> None:
    entry = commit(lake, 0, 3)
    lake.store.delete(lake.store.uri(entry.files[0].name))
    with pytest.raises(ArchiveError, match=r"parquet of the archive is missing"):
        offsets_of(lake)
