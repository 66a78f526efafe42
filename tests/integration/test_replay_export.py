"""An export has each event once, however often it was killed, interrupted and resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.commands import command_environment
from tests.integration.replay_topics import RawTopic, slowly
from tests.integration.working import wait_until
from tidemill.config import Settings
from tidemill.errors import ConfigError
from tidemill.replay import Tally
from tidemill.replay.export import export
from tidemill.replay.formats import NdjsonWriter

KILLS = int(os.environ.get("TIDEMILL_REPLAY_KILLS", "1"))
"""How often each export is killed before it may come to its end."""


class Exporter:
    """Exports of a topic into one file, each in a process of its own."""

    def __init__(self, topic: RawTopic, path: Path, format_: str) -> None:
        self.topic, self.path, self.format = topic, path, format_
        self.partial = Path(f"{path}.partial.replay.json")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        where = [self.topic.name, str(self.path), self.format, "0", "0.05"]
        command = [sys.executable, "-m", "tests.integration.replay_exporter", *where, *arguments]
        environment = {**os.environ, **command_environment(self.topic.settings)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def has(self, events: int) -> bool:
        """Whether so many are written by now."""
        return self.partial.exists() and json.loads(self.partial.read_text())["events"] >= events

    def kill_at(self, events: int, *arguments: str) -> None:
        """Start it, and kill it (SIGKILL) some time after so many events are written."""
        process = self.start(*arguments)
        try:
            wait_until(lambda: self.has(events) or process.poll() is not None, f"{events} events are written")
        finally:
            process.kill()
            process.communicate()

    def places(self) -> list[tuple[int, int]]:
        functions = {"parquet": "read_parquet", "csv": "read_csv", "ndjson": "read_json"}
        found = duckdb.connect().execute(
            f"select _partition, _offset from {functions[self.format]}(?)", [str(self.path)]
        )
        return sorted(found.fetchall())


def all_places(topic: RawTopic) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in slowly(topic.settings, topic.name) if each.value is not None]


@pytest.mark.parametrize("format_", ["parquet"] if KILLS == 1 else ["parquet", "ndjson"])
def test_an_export_that_was_killed_goes_on_exactly(settings: Settings, tmp_path: Path, format_: str) -> None:
    topic = RawTopic(settings, partitions=2)
    chance = random.Random()
    for partition in (0, 1):
        topic.send([topic.reading(number) for number in range(15_000)] + [b"garbage", None], partition=partition)
    exporter = Exporter(topic, tmp_path / "out", format_)
    begun: list[str] = []
    for _ in range(KILLS):
        exporter.kill_at(chance.randrange(1, 25_000), *begun)
        begun = ["--resume"]
    topic.send(map(topic.reading, range(100)))
    done = export(topic.scan(), exporter.path, format_, resume=True)
    assert (done.complete, done.events) == (True, 30_100)
    assert exporter.places() == [place for place in all_places(topic) if place not in {(0, 15_000), (1, 15_000)}]
    aside = (tmp_path / "out.quarantine.ndjson").read_text().splitlines()
    assert sorted((each["partition"], each["offset"]) for each in map(json.loads, aside)) == [(0, 15_000), (1, 15_000)]
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("out")) == [
        "out",
        "out.quarantine.ndjson",
        "out.replay.json",
    ]


def test_ctrl_c_leaves_a_valid_file_that_can_be_gone_on_with(settings: Settings, tmp_path: Path) -> None:
    topic = RawTopic(settings)
    topic.send(map(topic.reading, range(30_000)))
    exporter = Exporter(topic, tmp_path / "out", "csv")

    def interrupt(tally: Tally, done: int, total: int) -> None:
        if tally.events:
            signal.raise_signal(signal.SIGINT)

    first = export(topic.scan(), exporter.path, "csv", progress=interrupt)
    assert not first.complete
    assert 0 < first.events < 30_000
    assert exporter.places() == [(0, offset) for offset in range(first.events)]
    done = export(topic.scan(), exporter.path, "csv", resume=True)
    assert (done.complete, done.events, done.tally.events) == (True, 30_000, 30_000 - first.events)
    assert exporter.places() == [(0, offset) for offset in range(30_000)]


def test_resuming_reads_what_came_since_in_new_partitions_too(settings: Settings, tmp_path: Path) -> None:
    topic, path = RawTopic(settings), tmp_path / "out.parquet"
    topic.send(map(topic.reading, range(10)))
    assert export(topic.scan(), path, "parquet").events == 10
    topic.grow(2)
    topic.send(map(topic.reading, range(5)), partition=1)
    topic.send([b"\0" * 5, b"", topic.reading(10)], partition=0)
    done = export(topic.scan(), path, "parquet", resume=True)
    assert (done.events, done.tally.garbage) == (16, 2)
    assert export(topic.scan(), path, "parquet", resume=True).events == 16
    assert Exporter(topic, path, "parquet").places() == [(0, each) for each in (*range(10), 12)] + [
        (1, each) for each in range(5)
    ]


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def without_bookmark(path: Path) -> None:
    Path(f"{path}.replay.json").unlink()


def killed(path: Path) -> None:
    path.replace(f"{path}.partial")
    Path(f"{path}.replay.json").replace(f"{path}.partial.replay.json")


def unchanged(path: Path) -> None:
    """As the export left it."""


REFUSED: list[tuple[Callable[[Path], None], dict[str, Any], bool, str]] = [
    (damaged, {}, True, "Somebody changed it"),
    (without_bookmark, {}, True, "nothing to resume"),
    (unchanged, {}, False, "exists"),
    (killed, {}, False, "was killed, and what it had is still there"),
    (unchanged, {"keys": "other"}, True, "answer to another question"),
]


def test_what_can_not_be_gone_on_with_is_refused_and_stays_as_it_is(settings: Settings, tmp_path: Path) -> None:
    topic = RawTopic(settings)
    topic.send(map(topic.reading, range(3)))
    for number, (change, question, resume, problem) in enumerate(REFUSED):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "out.ndjson"
        export(topic.scan(), path, "ndjson")
        change(path)
        files = {each: each.read_bytes() for each in folder.iterdir()}
        with pytest.raises(ConfigError) as raised:
            export(topic.scan(**question), path, "ndjson", resume=resume)
        assert problem in f"{raised.value.message} {raised.value.hint}"
        assert files == {each: each.read_bytes() for each in folder.iterdir()}


def test_an_export_that_died_before_its_bookmark_was_written_is_gone_on_with(
    settings: Settings, tmp_path: Path
) -> None:
    topic, path = RawTopic(settings), tmp_path / "out.csv"
    topic.send(map(topic.reading, range(3)))
    export(topic.scan(), path, "csv")
    # It has got its name, and its bookmark still is that of the partial file.
    Path(f"{path}.replay.json").replace(f"{path}.partial.replay.json")
    topic.send(map(topic.reading, range(2)))
    assert export(topic.scan(), path, "csv", resume=True).events == 5
    assert Exporter(topic, path, "csv").places() == [(0, each) for each in range(5)]


def test_a_disk_that_is_full_costs_only_what_came_after_the_last_checkpoint(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, path = RawTopic(settings), tmp_path / "out.ndjson"
    topic.send(map(topic.reading, range(40_000)))
    monkeypatch.setattr("tidemill.replay.export.CHECKPOINT_SECONDS", 0.0)
    write, calls = NdjsonWriter.write, 0

    def full(self: NdjsonWriter, batch: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            write(self, batch.slice(0, 10))
            raise OSError(28, "No space left on device")
        write(self, batch)

    monkeypatch.setattr(NdjsonWriter, "write", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        export(topic.scan(), path, "ndjson")
    assert not path.exists()
    done = export(topic.scan(), path, "ndjson", resume=True)
    assert (done.events, done.complete) == (40_000, True)
    assert done.tally.events < 40_000
    assert Exporter(topic, path, "ndjson").places() == [(0, each) for each in range(40_000)]
