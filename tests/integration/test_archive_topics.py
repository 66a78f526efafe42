"""Topics in the archive, on a real Kafka: each event once, read as one with the topic, gaps told, faults found."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as compute
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]
from typer.testing import CliRunner

from consumers.archive.archiver import Archiver
from consumers.archive.checkup import check_archive
from consumers.archive.lease import Lease
from consumers.archive.settings import load_archive_settings
from tests.crash.archive_readers import slow_reader
from tests.integration.archiving import (
    TOPIC,
    archive,
    compact,
    delete_before,
    fill,
    glob_of,
    run,
    run_json,
    table,
    verified,
    yesterday_ms,
)
from tests.integration.commands import command_environment
from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import WAIT_SECONDS, prepare, wait_until
from tidemill import broker, replay
from tidemill.cli import replay as replay_command
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import ArchiveError
from tidemill.replay.lake import INNER, Lake
from tidemill.replay.ranges import Gap
from tidemill.replay.republish import republish


@pytest.fixture
def steps(settings: Settings) -> Settings:
    """The steps' topics and schemas are there; events of yesterday stay, at whatever time of the day this runs."""
    prepare(settings, retention=timedelta(days=3))
    return settings


def seen_by_duckdb(settings: Settings, what: str) -> Any:
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {what} FROM read_parquet(?, union_by_name = true)", [glob_of(settings)]
        ).fetchone()
    assert found is not None
    return found


def test_what_is_archived_is_what_the_topic_has_and_is_read_as_it_lies(steps: Settings) -> None:
    fill(steps, 300, start_ms=yesterday_ms(), every_ms=5000)
    fill(steps, 3, start_ms=yesterday_ms(), values=[None, b"garbage", b"\0\0\0\0\0"], partition=1)
    (taken,) = archive(steps).taken
    assert (taken.events, taken.tombstones, taken.quarantined, taken.commits) == (303, 1, 2, 1)
    found = seen_by_duckdb(steps, "count(*), count(DISTINCT (_partition, _offset)), count(DISTINCT date), sum(number)")
    assert found == (301, 301, 2, sum(range(300)))
    assert verified(steps).problems == []
    assert verified(steps).compared == 303
    assert archive(steps).taken[0].commits == 0, "nothing is new"


def test_archive_and_topic_are_read_as_one(steps: Settings) -> None:
    start_ms = yesterday_ms()
    fill(steps, 200, start_ms=start_ms, every_ms=5000)
    fill(steps, 100, start_ms=start_ms, partition=2)
    fill(steps, 2, start_ms=start_ms, partition=2, values=[b"garbage", None])
    archive(steps)
    fill(steps, 20, start_ms=start_ms + 20 * 60_000)
    whole = table(steps)
    delete_before(steps, 90, [0, 2])
    assert table(steps).num_rows == 320 - 180
    middle = datetime.fromtimestamp(start_ms / 1000 + 300, UTC)
    later = compute.greater_equal(whole.column("_timestamp"), middle)
    assert table(steps, archive=True).equals(whole)
    assert table(steps, archive=True, start=middle).equals(whole.filter(later))
    of_lane = compute.equal(whole.column("_key"), "lane-3")
    assert table(steps, archive=True, keys="lane-3", prune=False).equals(whole.filter(of_lane))
    scan = replay.scan(TOPIC, archive=True, columns=["_offset", "_key"], settings=steps)
    scan.to_arrow()
    assert scan.tally.read_bytes < 322 * 20, "the archived events' own bytes need not be read"
    assert table(steps, archive="auto").equals(whole)
    assert table(steps, archive="auto", start={0: 80, 2: 95}, end={0: 100, 2: 99}).num_rows == 24
    scan = replay.scan(TOPIC, where="number < 10", archive="auto", settings=steps)
    assert scan.to_arrow().num_rows == 30
    scan = replay.scan(TOPIC, archive="auto", settings=steps)
    events = [*scan]
    assert sorted((event.payload["lane"], event.id, event.position.offset) for event in events) == sorted(
        zip(*(whole.column(name).to_pylist() for name in ("lane", "_id", "_offset")), strict=True)
    )
    assert (scan.tally.garbage, scan.tally.tombstones, scan.gaps) == (1, 1, [])


def test_what_the_topic_has_no_more_is_exported_and_published_again(steps: Settings, tmp_path: Path) -> None:
    start_ms, target = yesterday_ms(), StepDone.__contract__.topic
    fill(steps, 40, start_ms=start_ms, partition=1)
    fill(steps, 2, start_ms=start_ms, partition=1, values=[None, b"garbage"])
    archive(steps)
    fill(steps, 5, start_ms=start_ms + 60_000, partition=1)
    whole = slow_reader(steps, TOPIC)
    delete_before(steps, 30, [1])
    scan = replay.scan(TOPIC, archive="auto", settings=steps)
    assert scan.to_parquet(tmp_path / "steps.parquet").events == 45
    # In the order of time: each partition is read from the archive, then from the topic.
    assert republish(scan, target, name="again", speed=1e9).complete
    # Just after a commit returned, its events may be missing for some milliseconds.
    wait_until(lambda: len(slow_reader(steps, target)) == len(whole), "all of it can be read")
    again = slow_reader(steps, target)
    assert [found[:3] for found in again.values()] == [found[:3] for found in whole.values()]
    assert [found[3][0] for found in again.values()] == [found[3][0] for found in whole.values()]


def test_replay_commands_read_the_archive_where_they_are_told_to(steps: Settings, tmp_path: Path) -> None:
    start_ms = yesterday_ms()
    fill(steps, 40, start_ms=start_ms, partition=1)
    archive(steps)
    fill(steps, 5, start_ms=start_ms + 60_000, partition=1)
    delete_before(steps, 30, [1])

    def answer(*arguments: str | Path) -> str:
        done = CliRunner().invoke(replay_command.app, [*map(str, arguments)], env=command_environment(steps))
        assert done.exit_code == 0, done.output
        return done.stdout

    query = f'select count(*) as n, min("_offset") as first, max("_offset") as last from "{TOPIC}"'
    assert json.loads(answer("count", TOPIC, "--json"))["events"] == 15
    for read in ("auto", "all"):
        archived = ("--archive", read)
        assert json.loads(answer("count", TOPIC, *archived, "--json"))["events"] == 45
        assert json.loads(answer("head", TOPIC, "-n", "1", *archived, "--json"))["_offset"] == 0
        assert json.loads(answer("sql", query, *archived, "--json")) == {"n": 45, "first": 0, "last": 44}
        answer("export", TOPIC, *archived, "--out", tmp_path / f"{read}.parquet")
    for name in ("auto", "all"):
        offsets = pq.read_table(tmp_path / f"{name}.parquet").column("_offset").to_pylist()
        assert offsets == [*range(45)]


def test_old_files_get_a_new_field_with_its_default_when_they_are_put_together(steps: Settings) -> None:
    fill(steps, 5, start_ms=yesterday_ms())
    archive(steps)
    fill(steps, 5, start_ms=yesterday_ms())
    archive(steps)
    contract = StepAsked.__contract__.schema
    added = {"name": "grade", "type": "string", "default": "plain", "doc": "New."}
    with Registry(steps) as registry:
        registry.register(f"{TOPIC}-value", json.dumps({**contract, "fields": [*contract["fields"], added]}))
    fill(steps, 2, start_ms=yesterday_ms())
    archive(steps)
    assert seen_by_duckdb(steps, "count(*), count(grade)") == (12, 2)
    whole = table(steps)
    assert whole.column("grade").to_pylist() == ["plain"] * 12
    assert table(steps, archive=True).equals(whole)
    (done,) = compact(steps)
    assert (done.files, done.bundles) == (3, 1)
    assert seen_by_duckdb(steps, "count(*), count(grade), min(grade)") == (12, 12, "plain")
    assert table(steps, archive=True).equals(whole)
    assert verified(steps).problems == []


def test_what_retention_took_first_is_a_gap_and_an_alarm(steps: Settings) -> None:
    fill(steps, 10, start_ms=yesterday_ms())
    archive(steps)
    fill(steps, 30, start_ms=yesterday_ms())
    delete_before(steps, 25, [0])
    (taken,) = archive(steps).taken
    assert (taken.events, taken.gaps) == (15, [Gap(0, 10, 25)])
    scan = replay.scan(TOPIC, archive=True, settings=steps)
    assert (scan.to_arrow().num_rows, scan.gaps) == (25, [Gap(0, 10, 25)])
    assert (verified(steps).ok, verified(steps).lost) == (True, 15)
    shown = run(steps, "status")
    assert shown.exit_code == 1
    assert "partition 0: offsets 10 to 24: deleted before they were archived" in shown.stderr
    finding = check_archive(steps)
    assert (finding.ok, finding.found) == (False, "retention has deleted 15 offsets before they were archived")


def test_a_topic_that_grows_and_one_that_is_made_anew_are_archived_from_their_beginning(steps: Settings) -> None:
    fill(steps, 10, start_ms=yesterday_ms())
    archive(steps)
    admin, name = broker.admin_client(steps), steps.qualified(TOPIC)
    admin.create_partitions([NewPartitions(name, 5)])[name].result(WAIT_SECONDS)
    wait_until(lambda: len(admin.list_topics(name, 5).topics[name].partitions) == 5, "the topic has grown")
    fill(steps, 4, start_ms=yesterday_ms(), partition=4)
    assert archive(steps).taken[0].events == 4
    assert table(steps, archive=True).num_rows == 14
    admin.delete_topics([name])[name].result(WAIT_SECONDS)
    wait_until(lambda: name not in admin.list_topics(timeout=5).topics, "the topic is gone")
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(WAIT_SECONDS)
    wait_until(lambda: name in admin.list_topics(timeout=5).topics, "the topic is there again")
    with pytest.raises(ArchiveError, match="is of one that was deleted since"):
        table(steps, archive=True)
    fill(steps, 3, start_ms=yesterday_ms())
    assert archive(steps).taken[0].events == 3
    assert table(steps, archive=True).num_rows == 3
    assert seen_by_duckdb(steps, "count(*)") == (17,), "the files of the one that was deleted stay"
    assert verified(steps).problems == []


def test_a_second_archiver_waits_for_the_first(steps: Settings) -> None:
    fill(steps, 10, start_ms=yesterday_ms())
    first = Lease(Lake.from_settings(steps).store, steps.qualified(TOPIC), 30.0)
    assert first.take() is None
    done: list[Any] = []
    second = threading.Thread(target=lambda: done.append(archive(steps)))
    second.start()
    second.join(0.7)
    assert second.is_alive()
    first.give_back()
    second.join(WAIT_SECONDS)
    assert done[0].taken[0].events == 10


def test_a_full_disk_is_told_and_costs_nothing_but_a_pass(steps: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    fill(steps, 10, start_ms=yesterday_ms())
    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
        done = Archiver(steps, load_archive_settings(), [TOPIC]).once()
    assert "can't be written" in done.failed[TOPIC].message
    assert "No space left on device" in done.failed[TOPIC].message
    assert archive(steps).taken[0].events == 10


def test_what_is_wrong_with_the_files_is_found(steps: Settings) -> None:
    for _ in range(3):
        fill(steps, 5, start_ms=yesterday_ms())
        archive(steps)
    lake = Lake.from_settings(steps)
    folder = Path(steps.state_dir) / "objects" / "archive"
    one, two, three = (folder / name for name in sorted(lake.state(steps.qualified(TOPIC)).files))
    one.rename(one.with_name("stray.parquet"))
    damaged = bytearray(two.read_bytes())
    damaged[100] ^= 0xFF
    two.write_bytes(damaged)
    result = run(steps, "verify")
    assert result.exit_code == 1
    assert f"{one.name} is missing." in result.stderr
    assert "stray.parquet is no file of the archive, and readers by glob see it." in result.stderr
    assert f"{two.name} has other bytes than were written." in result.stderr
    assert three.name not in result.stderr


def test_commands_say_what_waits_what_is_there_and_what_would_be_put_together(steps: Settings) -> None:
    fill(steps, 8, start_ms=yesterday_ms())
    assert run_json(steps, TOPIC, "--dry-run") == [{"topic": TOPIC, "waits": 8, "partitions": 1, "lost": 0}]
    archive(steps)
    fill(steps, 4, start_ms=yesterday_ms())
    archive(steps)
    fill(steps, 2, start_ms=yesterday_ms())
    (status,) = run_json(steps, "status")
    assert (status["events"], status["files"], status["lag"], status["commits"]) == (12, 2, 2, 2)
    assert "no event" not in run(steps, "status").stderr
    (would,) = run_json(steps, "compact", "--all", "--dry-run")
    assert (would["files"], would["bundles"]) == (2, 1)
    assert run(steps, "compact", TOPIC, "--dry-run").stdout.startswith(f"{TOPIC}: 2 files (")
    assert run_json(steps, "verify", "--quick")[0]["ok"] is True
    assert [*Lake.from_settings(steps).store.list(f"{INNER}/staged")] == []
