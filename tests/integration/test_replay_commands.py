"""`tidemill replay` as analysts run it, on a real Kafka and registry; and the notebook and the page that lead to it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from typer.testing import CliRunner, Result

from examples.replay.sample_events import GARBAGE, publish_samples, samples
from tests.conftest import Addresses
from tests.integration.commands import command_environment
from tests.integration.working import wait_until
from tidemill import broker, replay
from tidemill.cli import replay as replay_command
from tidemill.cli.replay_progress import ReplayProgress
from tidemill.config import Settings, load_settings
from tidemill.events import ImageProcessed
from tidemill.replay import fetching
from tidemill.replay.republish import republish
from tidemill.replay.target import exists, make_target

TOPIC = "image.processed"
SANDBOX = "sandbox.processed"
EVENTS = 3000
END = datetime.now(UTC)
ROOT = Path(__file__).parents[2]


@cache
def made() -> list[tuple[datetime, ImageProcessed]]:
    """What `filled` has in it, in order."""
    return [*samples(EVENTS, END)]


@pytest.fixture(scope="module")
def filled(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with three days of pictures, two messages that are no events, and an empty sandbox; read only."""
    settings = load_settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        namespace=f"t{uuid.uuid4().hex[:8]}.",
        state_dir=tmp_path_factory.mktemp("state"),
        schemas_dir=ROOT / "schemas",
    )
    assert publish_samples(settings, EVENTS, END) == EVENTS
    admin = broker.admin_client(settings)
    made = admin.create_topics([NewTopic(settings.qualified(SANDBOX), 12, 1)])
    for each in made.values():
        each.result()
    return settings


class Replay:
    """Runs `tidemill replay ARGUMENTS`."""

    def __init__(self, settings: Settings) -> None:
        self._environment = command_environment(settings)

    def __call__(self, *arguments: str, status: int = 0, **environment: str) -> Result:
        done = CliRunner().invoke(replay_command.app, arguments, env={**self._environment, **environment})
        assert done.exit_code == status, done.output
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def lines(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self(*arguments).stdout.splitlines()]


@pytest.fixture
def run(filled: Settings) -> Replay:
    return Replay(filled)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody presses Ctrl-C when the progress bar moves for the first time; pieces are small, so some are left."""
    monkeypatch.setattr(fetching, "SLICE_MESSAGES", 512)
    show = ReplayProgress.show

    def press(*arguments: Any, **more: Any) -> None:
        monkeypatch.setattr(ReplayProgress, "show", show)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ReplayProgress, "show", press)
    yield
    assert ReplayProgress.show is show


def test_an_export_has_every_event_and_puts_garbage_aside(run: Replay, tmp_path: Path) -> None:
    file = tmp_path / "pictures.parquet"
    told = run.json("export", TOPIC, "--out", str(file))
    assert (told["read"], told["events"], told["garbage"]) == (EVENTS + 2, EVENTS, 2)
    assert told["complete"]
    table = pq.read_table(file)
    assert Counter(table["source"].to_pylist()) == Counter(event.source for _, event in made())
    aside = [json.loads(line) for line in (tmp_path / "pictures.parquet.quarantine.ndjson").read_text().splitlines()]
    assert sorted(each["offset"] for each in aside) == sorted(each["offset"] for each in told["first_garbage"])
    assert "error" in run("export", TOPIC, "--out", str(file), status=1).output


def test_an_interrupted_export_is_valid_and_resumed_exactly(run: Replay, tmp_path: Path, interrupted: None) -> None:
    file = tmp_path / "pictures.ndjson"
    stopped = run("export", TOPIC, "--out", str(file), "--columns", "_partition,_offset,source", status=130)
    first = len(file.read_text().splitlines())
    assert 0 < first < EVENTS
    assert f"… {first:,} events" in stopped.output
    (again,) = re.findall(r" export (.*--resume)", stopped.output)
    run("export", *again.split())
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == len({(row["_partition"], row["_offset"]) for row in rows}) == EVENTS


def test_lines_go_to_standard_output(run: Replay) -> None:
    (some, *_) = run.lines("head", TOPIC, "-n", "1", "--json")
    chosen = ("export", TOPIC, "--key", some["_key"], "--columns", "_key,_offset,original", "--out", "-")
    rows = run.lines(*chosen)
    assert {row["_key"] for row in rows} == {some["_key"]}
    assert some["_offset"] in {row["_offset"] for row in rows}
    table = list(csv.DictReader(run(*chosen, "--format", "csv").stdout.splitlines()))
    assert [json.loads(row["original"]) for row in table] == [row["original"] for row in rows]


def test_a_dry_run_says_how_much_it_is_and_writes_nothing(run: Replay, tmp_path: Path) -> None:
    told = run.json("export", TOPIC, "--dry-run", "--columns", "source")
    assert (told["events"], told["columns"], len(told["partitions"])) == (EVENTS + 2, ["source"], 12)
    shown = run("export", TOPIC, "-n", "--out", str(tmp_path / "x.csv")).stdout
    assert "3,002 events" in shown
    assert "nothing was written" in shown
    assert [*tmp_path.iterdir()] == []


def test_counts_add_up_however_they_are_counted(run: Replay) -> None:
    total = EVENTS + 2
    for by in ("hour", "day", "key", "partition"):
        counted = run.json("count", TOPIC, "--by", by)
        assert sum(each["events"] for each in counted["counts"]) == counted["events"] == total, by
    few = run.json("count", TOPIC, "--by", "key", "--top", "3")["counts"]
    often = Counter(event.source for _, event in made()).most_common(3)
    assert [each["events"] for each in few] == [count for _, count in often]
    shown = run("count", TOPIC, "--by", "day").stdout
    assert re.search(r"^\d{4}-\d\d-\d\d \w{3} +[\d,]+  [█▏▎▍▌▋▊▉]+$", shown, re.MULTILINE)
    assert f"{total:,} events in {TOPIC}" in shown


def test_conditions_are_counted_by_their_events(run: Replay) -> None:
    wanted = sum(event.original.width > 4032 for _, event in made())
    assert run.json("count", TOPIC, "--where", "original.width > 4032")["events"] == wanted


def test_head_shows_places_that_look_takes(run: Replay) -> None:
    first = made()[0][1]
    (row,) = run.lines("head", TOPIC, "-n", "1", "--json")
    assert row["source"] == first.source
    place = f"{row['_partition']}:{row['_offset']}"
    table = run("head", TOPIC, "-n", "1").stdout
    assert table.split()[:4] == ["PLACE", "TIME", "(UTC)", "KEY"]
    assert place in table
    event = run.json("look", f"{TOPIC}@{place}")
    assert event["payload"]["original"]["sha256"] == first.original.sha256
    assert event["type"] == TOPIC
    shown = run("look", f"{TOPIC}@{place}").stdout
    assert f'"source": "{first.source}"' in shown
    assert event["id"] in shown


def test_look_shows_bytes_that_are_no_event_and_says_where_there_is_nothing(run: Replay, filled: Settings) -> None:
    scan = replay.scan(TOPIC, settings=filled)
    scan.to_arrow()
    for each in scan.quarantined:
        shown = run("look", f"{TOPIC}@{each.partition}:{each.offset}").stdout
        assert "can't be decoded: " in shown
        assert each.value[:16].hex(" ") in shown
    none = run("look", f"{TOPIC}@0:999999", status=5)
    assert re.search(r"There is no event at .*@0:999999: it holds 0 to \d+\.", none.output)
    assert "has no partition 77" in run("look", f"{TOPIC}@77:1", status=1).output
    assert "is no place of an event" in run("look", TOPIC, status=1).output


def test_narrow_terminals_get_fewer_columns(run: Replay) -> None:
    shown = run("head", TOPIC, "-n", "2", COLUMNS="60")
    assert "dominant_color" in shown.stderr.split("Too narrow for")[1]
    assert max(map(len, shown.stdout.splitlines())) <= 60


def test_where_nothing_fits_it_says_where_events_lie(run: Replay) -> None:
    told = run("count", TOPIC, "--from", "2020-01-01", "--to", "2020-01-02")
    assert told.stdout.strip() == f"0 events in {TOPIC}"
    assert f"to {END:%Y-%m-%d}" in told.stderr
    assert "none of the 3,002 events read fits" in run("head", TOPIC, "--where", "original.width = 1").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("count", "image.procesed"), 1, "Did you mean 'image.processed'?"),
        (("export", TOPIC, "-o", "x.csv", "--where", "nope > 1"), 1, "The condition 'nope > 1' can't be used"),
        (("export", TOPIC, "-o", "x.csv", "-c", "sorce"), 1, "Did you mean 'source'?"),
        (("export", TOPIC, "-o", "x.xyz"), 1, "Let it end in .parquet"),
        (("export", TOPIC, "-o", "nowhere/x.csv"), 1, "nowhere/x.csv can't be written: No such file or directory."),
        (("export", TOPIC, "-o", "x.csv", "--resume"), 1, "There is nothing to resume"),
        (("export", TOPIC, "-o", "x.csv", "--from", "tuesday"), 1, "'tuesday' is no start or end of a replay."),
        (("export", TOPIC, "-o", "x.csv", "--from", "1h", "--to", "2h"), 1, "lies after the end"),
        (("export", TOPIC, "-o", "x.csv", "--partition", "99"), 1, "has no partition 99"),
        (("export", TOPIC), 2, "Give the file with --out"),
        (("export", TOPIC, "-o", "-", "--resume"), 2, "--resume needs a file"),
        (("export", TOPIC, "-o", "-", "--format", "parquet"), 2, "parquet needs a file"),
        (("count", TOPIC, "--top", "3"), 2, "--top needs --by"),
        (("publish", TOPIC, "--into", TOPIC), 1, "--same-topic"),
        (("publish", TOPIC, "--into", "sandbox.procesed"), 1, "Did you mean 'sandbox.processed'?"),
        (("publish", TOPIC, "--into", SANDBOX, "--resume"), 2, "--resume needs the --name"),
        (("publish", TOPIC, "--into", SANDBOX, "--name", "never", "--resume"), 1, "no replay 'never'"),
        (("publish", TOPIC, "--into", SANDBOX, "--speed", "fast"), 1, "'fast' is no speed."),
        (("sql", f'select nope from "{TOPIC}"'), 1, 'column "nope" not found'),
        (("sql", 'select * from "image.procesed"'), 1, "Did you mean 'image.processed'?"),
    ],
)
def test_what_can_not_be_done_is_said(
    run: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in run(*arguments, status=status).output
    assert [*tmp_path.iterdir()] == []


def test_topics_are_asked_in_sql(run: Replay, tmp_path: Path) -> None:
    wanted = Counter(event.original.format for _, event in made())
    query = (
        f'select original.format as f, count(*) as n, sum(original.bytes) as b from "{TOPIC}" group by all order by n'
    )
    rows = run.lines("sql", query, "--json")
    assert {row["f"]: row["n"] for row in rows} == wanted
    assert sum(row["b"] for row in rows) == sum(event.original.bytes for _, event in made())
    shown = run("sql", query).stdout
    assert shown.split()[:3] == ["f", "n", "b"]
    file = tmp_path / "large.parquet"
    told = run("sql", f"from {TOPIC} where original.width > 4032", "--out", str(file)).stdout
    large = sum(event.original.width > 4032 for _, event in made())
    assert f"{large:,} rows" in told
    joined = f"select count(*) as n from '{file}' join \"{TOPIC}\" using (_partition, _offset)"
    assert run.lines("sql", joined, "--json") == [{"n": large}]


def test_a_query_reads_only_what_it_needs(filled: Settings) -> None:
    asked = f'select count(*) as n, max(source) from "{TOPIC}" where _partition = 3'
    with replay.sql(asked, settings=filled) as answer:
        (row,) = answer.to_arrow().to_pylist()
        assert answer.tally.read < EVENTS // 6
    assert row["n"] == replay.scan(TOPIC, partitions=[3], columns="source", settings=filled).to_arrow().num_rows
    recent = (
        f"select count(*) as n from \"{TOPIC}\" where _timestamp > timestamptz '{END.isoformat()}' - interval 2 hours"
    )
    with replay.sql(recent, settings=filled) as answer:
        (row,) = answer.to_arrow().to_pylist()
        assert row["n"] <= answer.tally.read < EVENTS // 10
    ours = sum((END - moment).total_seconds() < 7200 for moment, _ in made())
    assert row["n"] == ours


def test_an_interrupted_publishing_is_resumed_exactly(run: Replay, filled: Settings, interrupted: None) -> None:
    start = (END - timedelta(days=1)).isoformat()
    chosen = ("publish", TOPIC, "--into", SANDBOX, "--from", start, "--where", "original.format = 'jpeg'")
    planned = run.json(*chosen, "--dry-run")["events"]
    stopped = run(*chosen, "--name", "again", "--rate", "300", status=130)
    assert "--name again --resume" in stopped.output
    # Meant is what was said at first.
    done = run.json("publish", TOPIC, "--into", SANDBOX, "--from", "1m", *chosen[6:], "--name", "again", "--resume")
    assert 0 < done["events"] < planned
    sandbox = replay.scan(SANDBOX, columns=["_key", "_replay", "_id", "_partition"], settings=filled)
    # The marks of a transaction are written after its commit has returned.
    wait_until(lambda: sandbox.count()[None] == planned, f"{planned} events in the sandbox")
    copies = sandbox.to_arrow().to_pylist()
    originals = replay.scan(
        TOPIC, start, where="original.format = 'jpeg'", columns=["_key", "_id", "_partition"], settings=filled
    ).to_arrow()
    assert {each["_replay"] for each in copies} == {"again"}

    def by_key(rows: list[dict[str, Any]]) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for row in rows:
            found.setdefault(row["_key"], []).append((row["_id"], row["_partition"]))
        return found

    assert by_key(copies) == by_key(originals.to_pylist())
    # Nobody has registered a schema for the sandbox: its events name theirs.
    (row,) = run.lines("head", SANDBOX, "-n", "1", "--json")
    assert row["original"]["format"] == "jpeg"


def test_a_topic_to_publish_into_is_made_where_that_is_wanted(run: Replay, filled: Settings) -> None:
    key = made()[0][1].source
    wanted = sum(event.source == key for _, event in made())
    chosen = ("publish", TOPIC, "--into", "new.processed", "--key", key)
    assert "With --create it is made." in run(*chosen, status=1).stderr
    assert "which would be made" in run(*chosen, "--create", "--dry-run").stdout
    assert not exists(filled, "new.processed")
    assert run.json(*chosen, "--create")["events"] == wanted
    copies = replay.scan("new.processed", columns=["_key", "_timestamp", "_partition"], settings=filled)
    wait_until(lambda: copies.count()[None] == wanted, f"{wanted} events in the new topic")
    originals = replay.scan(TOPIC, keys=key, columns=["_key", "_timestamp", "_partition"], settings=filled)
    assert copies.to_arrow() == originals.to_arrow()


def test_tail_shows_the_last_events(run: Replay) -> None:
    (last,) = run.lines("tail", TOPIC, "-n", "1", "--json", "--columns", "source,_timestamp")
    assert last["source"] == made()[-1][1].source
    line = run("tail", TOPIC, "-n", "1").stdout
    assert f'  {last["source"]}  {{"source": ' in line


def test_tail_follows_what_is_appended(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(filled).items():
        monkeypatch.setenv(name, value)
    topic = "followed.processed"
    make_target(filled, TOPIC, topic)
    before, after = made()[0][1].source, made()[2][1].source
    times = Counter(event.source for _, event in made())
    republish(replay.scan(TOPIC, keys=before, settings=filled), topic, name="before", keep_time=False)
    monkeypatch.setattr(sys, "stdout", written := StringIO())

    def append() -> None:
        """What somebody else does meanwhile; then the reader has had enough."""
        try:
            wait_until(written.getvalue, "the events that were there")
            republish(replay.scan(TOPIC, keys=after, settings=filled), topic, name="after", keep_time=False)
            wait_until(
                lambda: written.getvalue().count("\n") == times[before] + times[after], "those that were appended"
            )
        finally:
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    ended = threading.Event()
    appending = threading.Thread(target=append)
    wait_until(lambda: replay.scan(topic, columns="_key", settings=filled).count()[None] == times[before], "the first")
    appending.start()
    arguments = ["tail", topic, "-f", "-n", str(times[before]), "--columns", "source", "--json"]
    # What a shell has started in the background ignores the signal.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = replay_command.app(arguments, standalone_mode=False)
    finally:
        ended.set()
        appending.join()
        signal.signal(signal.SIGINT, ignored)
    assert status == 130
    shown = Counter(json.loads(line)["source"] for line in written.getvalue().splitlines())
    assert shown == {before: times[before], after: times[after]}


def test_the_code_of_the_notebook_runs(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(filled).items():
        monkeypatch.setenv(name, value)
    notebook = json.loads((ROOT / "examples/replay/first-look.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"first-look.ipynb, code cell {number}", "exec"), names)
    assert names["tally"].read == sum((names["tally"].events, names["tally"].filtered, names["tally"].garbage))
    assert len(names["pictures"].quarantined) == len(GARBAGE)


def test_the_code_of_the_page_runs(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(filled).items():
        monkeypatch.setenv(name, value)
    page = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/replay.md", "exec"), names)
    large = sum(event.original.width > 4000 and (END - moment).days < 2 for moment, event in made())
    # "2d" is counted from now, which isn't when the events end.
    assert large - 100 < names["pictures"].tally.events <= large
    assert sum(names["by_hour"].values()) == EVENTS + 2
