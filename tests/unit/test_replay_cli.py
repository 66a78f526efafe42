"""What `tidemill replay` computes without Kafka: bars, words, places, what a query names, what it needn't read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import typer
from typer.testing import CliRunner

from tidemill.cli import replay as replay_command
from tidemill.cli.replay_again import command_again
from tidemill.cli.replay_plot import bar, bars
from tidemill.cli.replay_rows import cell_text, event_line, printable, show_rows
from tidemill.cli.replay_words import count_text, size_text, span_text, time_text
from tidemill.errors import ConfigError
from tidemill.replay import extras
from tidemill.replay.files import format_of, write_file
from tidemill.replay.outermost import outermost
from tidemill.replay.pruning import earliest_possible, possible_partitions
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Plan, Range
from tidemill.replay.slices import Slice
from tidemill.replay.sql import tables_of
from tidemill.replay.tally import Tally

SCHEMA = pa.schema(
    [
        ("width", pa.int64()),
        ("_partition", pa.int32()),
        ("_timestamp", pa.timestamp("ms", "UTC")),
        ("_key", pa.string()),
    ]
)


def at(milliseconds: int) -> Any:
    return pa.scalar(milliseconds, pa.timestamp("ms", "UTC"))


@pytest.mark.parametrize(
    ("count", "most", "drawn"), [(0, 10, ""), (10, 10, "████"), (5, 10, "██"), (1, 10_000, "▏"), (3, 8, "█▌")]
)
def test_a_bar_has_an_eighth_where_there_is_anything(count: int, most: int, drawn: str) -> None:
    assert bar(count, most, 4) == drawn


def test_bars_fit_their_width_and_long_gaps_are_one_line() -> None:
    rows = [("a", 1200), *((f"empty {number}", 0) for number in range(9)), ("key " + "x" * 100, 7)]
    lines = [line.plain for line in bars(rows, 40)]
    assert max(map(len, lines)) <= 40
    assert lines[0].endswith("█")
    assert "(7 more)" in lines[3]
    assert len(lines) == 5
    assert "…" in lines[-1]
    assert bars([], 40) == []


def test_words_for_sizes_spans_and_times() -> None:
    assert [size_text(each) for each in (0, 999, 1000, 8_213_000, 3e12, 5e16)] == [
        "0 B", "999 B", "1 kB", "8.21 MB", "3 TB", "5e+04 TB",
    ]  # fmt: skip
    assert [span_text(each) for each in (0, 9.96, 61, 600, 7300, 400_000)] == [
        "0.0 s", "10.0 s", "61 s", "10 min", "2 h 2 min", "4 d 15 h",
    ]  # fmt: skip
    assert (count_text(1, "event"), count_text(2000, "event")) == ("1 event", "2,000 events")
    assert (time_text(0), time_text(None)) == ("1970-01-01 00:00:00", "?")


def test_nothing_of_an_event_controls_the_terminal() -> None:
    hostile = "a\x1b[31mred\x07\x9b2J\u202e\n"
    assert printable(hostile).isprintable()
    assert printable("grün ✓") == "grün ✓"
    for value in (hostile, [hostile], {"name": hostile}, hostile.encode()):
        assert cell_text(value).isprintable(), value
    assert event_line("0:1", "now", hostile, hostile).plain.isprintable()


def test_cells_are_short_and_plain() -> None:
    moment = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert cell_text(moment) == "2026-11-24 09:30:00.000"
    assert cell_text(None) == ""
    assert cell_text({"width": 3}) == '{"width":3}'


@pytest.mark.parametrize("width", [1, 20, 37, 80, 300])
def test_a_table_never_is_wider_than_its_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"column{number}" for number in range(8)]
    rows = pa.table({name: ["x" * 60, "y"] for name in names})
    show_rows(rows, names)
    shown = capsys.readouterr()
    assert max(map(len, shown.out.splitlines())) <= width
    left_out = [name for name in names if name in shown.err]
    assert len(left_out) == {1: 7, 20: 7, 37: 6, 80: 4, 300: 0}[width]


def test_the_command_to_go_on_with_is_the_one_that_was_given() -> None:
    app = typer.Typer()
    said: list[str] = []

    @app.command()
    def export(
        context: typer.Context,
        topic: str,
        key: Annotated[list[str], typer.Option("--key", "-k")],
        out: Annotated[str, typer.Option("--out")] = "x",
        replace: Annotated[bool, typer.Option("--replace")] = False,
        slack: float = 10.0,
    ) -> None:
        said.append(command_again(context, "--resume", without=("replace",)))

    given = ["topic", "-k", "it's", "--key", "b c", "--replace", "--out", "a b.csv"]
    done = CliRunner().invoke(app, given, prog_name="tidemill replay export")
    assert done.exit_code == 0, done.output
    assert said == ["tidemill replay export topic --key 'it'\"'\"'s' --key 'b c' --out 'a b.csv' --resume"]


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ('select 1 from "image.processed"', [("", "image.processed")]),
        ("from image.processed", [("image", "processed")]),
        ("select * from a.b.c", [("a.b", "c")]),
        ('with x as (select 1 from "a.b") select * from x, "a.b" as y', [("", "a.b")]),
        ('select (select max(n) from q) from "we""ird"', [("", 'we"ird'), ("", "q")]),
        ("select * from (values (1))", []),
    ],
)
def test_topics_of_a_query_are_found(statement: str, tables: list[tuple[str, str]]) -> None:
    assert sorted(tables_of(duckdb, statement)) == sorted(tables)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("selec 1", "can't be read: syntax error"),
        ("drop table x", "Only SELECT is answered"),
        ("copy x to 'y.csv'", "Only SELECT is answered"),
        ("select 1; select 2", "One query is answered at a time, found 2."),
        ("", "One query is answered at a time, found 0."),
    ],
)
def test_what_is_not_one_select_is_refused(statement: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tables_of(duckdb, statement)


def test_partitions_and_times_that_a_condition_excludes_are_not_read() -> None:
    partition, moment, width = pc.field("_partition"), pc.field("_timestamp"), pc.field("width")
    both = (partition == 3) & (moment >= at(500_000)) & (width > 1)
    assert possible_partitions(both, range(12), SCHEMA) == {3}
    begin = earliest_possible(both, 0, 1_000_000, SCHEMA)
    assert begin is not None
    assert 499_000 <= begin <= 500_000


@pytest.mark.parametrize(
    "condition",
    [
        pc.field("width") > 1,
        (pc.field("_partition") == 3) | (pc.field("width") > 1),
        pc.field("_timestamp") < at(10),
        (pc.field("_timestamp") < at(10)) | (pc.field("_timestamp") > at(900_000)),
        pc.field("_key") == "_partition = 3",
    ],
)
def test_what_a_condition_may_hold_for_is_read(condition: Any) -> None:
    assert earliest_possible(condition, 100, 1_000_000, SCHEMA) is None
    assert possible_partitions(condition, range(4), SCHEMA) == {0, 1, 2, 3}


def test_no_row_that_fulfils_a_condition_is_excluded() -> None:
    rows = pa.RecordBatch.from_pylist(
        [
            {"width": number % 7, "_partition": number % 5, "_timestamp": number * 1000, "_key": str(number % 3)}
            for number in range(1000)
        ],
        schema=pa.schema([field.with_type(pa.int64()) if field.name == "_timestamp" else field for field in SCHEMA]),
    ).cast(SCHEMA)
    partition, moment, width = pc.field("_partition"), pc.field("_timestamp"), pc.field("width")
    conditions = [
        (partition < 3) & (moment > at(654_321)),
        ((partition == 1) & (moment >= at(10_000))) | ((partition == 2) & (moment >= at(700_000))),
        partition.isin([0, 4]) & ~(moment < at(333_000)),
        (moment == at(500_000)) | ((width == 2) & (partition == 0)),
        ~(partition == 2) & moment.isin([at(7_000), at(999_000)]),
    ]
    for condition in conditions:
        wanted = rows.filter(condition)
        assert wanted.num_rows
        assert set(wanted["_partition"].to_pylist()) <= possible_partitions(condition, range(5), SCHEMA)
        begin = earliest_possible(condition, 0, 999_000, SCHEMA)
        first = min(each.timestamp() * 1000 for each in wanted["_timestamp"].to_pylist())
        assert begin is None or begin <= first


class Numbered:
    """A scan of three partitions whose events have their offset as timestamp, with every second one filtered."""

    def __init__(self, *, filtered: bool) -> None:
        self.query = make_query("numbers", keys="k" if filtered else None, on_error="skip", slack=timedelta(0))
        self.schema = pa.schema([("number", pa.int64())])
        self.read: list[tuple[Range, ...]] = []
        self._step = 2 if filtered else 1

    def plan(self) -> Plan:
        ranges = (Range(0, 5000, 10_000), Range(1, 0, 20))
        archived = (Range(0, 0, 5000), Range(2, 3000, 3010))
        return Plan("numbers", "id", 3, ranges, (), {0: 0, 1: 0, 2: 3000}, archived)

    def run(self, *, plan: Plan, keep_messages: bool) -> Any:
        assert keep_messages
        self.read.append((*plan.archived, *plan.ranges))
        pieces = []
        for each in self.read[-1]:
            offsets = [at for at in range(each.start, each.end) if at % self._step == 0]
            partitions = [each.partition] * len(offsets)
            taken = Slice(partitions, offsets, offsets, [None] * len(offsets), [b""] * len(offsets))
            batch = pa.RecordBatch.from_pylist([{"number": at} for at in offsets], schema=self.schema)
            pieces.append(SimpleNamespace(batch=batch, taken=taken))
        return SimpleNamespace(pieces=lambda: (piece for piece in pieces), tally=Tally())


@pytest.mark.parametrize("filtered", [False, True])
def test_the_outermost_rows_of_all_partitions_are_found_without_reading_the_rest(filtered: bool) -> None:
    scan: Any = Numbered(filtered=filtered)
    step = 2 if filtered else 1
    first = outermost(scan, 4).places
    assert first == [(0, 0, 0), (0, 1, 0), (step, 0, step), (step, 1, step)]
    last = outermost(scan, 3, last=True)
    assert [place[1:] for place in last.places] == [(0, 10_000 - each * step) for each in (3, 2, 1)]
    assert last.rows["number"].to_pylist() == [place[2] for place in last.places]
    assert sum(each.end - each.start for each in scan.read[0]) <= 512 + 20 + 10
    assert Range(0, 0, 512) in scan.read[0]
    assert Range(0, 9488, 10_000) in scan.read[-1]


def test_the_rest_is_read_where_the_ends_hold_too_little() -> None:
    scan: Any = Numbered(filtered=False)
    assert len(outermost(scan, 6000).places) == 6000
    everything = outermost(scan, 20_000).rows["number"].to_pylist()
    assert everything == sorted([*range(10_000), *range(20), *range(3000, 3010)])
    assert outermost(scan, 0).places == []
    with pytest.raises(ConfigError, match="can't be given at once"):
        outermost(scan, 1_000_001)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    batch = pa.RecordBatch.from_pylist([{"n": 1}, {"n": 2}])

    def breaking() -> Any:
        yield batch
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, "parquet", batch.schema, breaking())
    assert [*tmp_path.iterdir()] == []
    assert write_file(path, "parquet", batch.schema, [batch, batch]) == 4
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]
    odd = pa.schema([("took", pa.month_day_nano_interval())])
    with pytest.raises(ConfigError, match=r"can't be written: .*Cast the column"):
        write_file(tmp_path / "odd.parquet", "parquet", odd, [])
    with pytest.raises(ConfigError, match="Let it end in"):
        format_of(Path("rows"))
    assert format_of(Path("ROWS.JSONL")) == "ndjson"


@pytest.mark.parametrize("command", ["sql", "look", "head", "tail", "count", "export", "publish"])
def test_every_command_has_examples(command: str) -> None:
    shown = CliRunner().invoke(replay_command.app, [command, "--help"]).output
    assert f"tidemill replay {command} " in shown.split("Examples:")[1]


def test_a_missing_package_is_told_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_duckdb(name: str) -> Any:
        if name.startswith("duckdb"):
            raise ImportError("No module named 'duckdb'")
        return import_module(name)

    monkeypatch.setattr(extras, "import_module", without_duckdb)
    done = CliRunner().invoke(replay_command.app, ["sql", "select 1"])
    assert done.exit_code == 1
    assert "next:  Run `pip install 'tidemill[replay]'`." in done.output
