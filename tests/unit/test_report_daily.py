"""The report on a day's activity, over made-up topics: what counts as done, as failed, and as waiting."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from streams.report.definition import Table
from streams.report.folder import examine
from tests.unit.report_samples import EXAMPLES, made, text_of, write_report
from tidemill.errors import Reject

MORNING = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
TYPES = {
    "_id": pa.string(),
    "_cause": pa.string(),
    "_time": pa.timestamp("us", "UTC"),
    "_timestamp": pa.timestamp("us", "UTC"),
    "_headers": pa.map_(pa.string(), pa.binary()),
    "notices": pa.list_(pa.string()),
    "outcome": pa.string(),
    "_partition": pa.int32(),
    "_offset": pa.int64(),
}
DEAD = [("tm_dead_error", b"tidemill.errors.Reject"), ("tm_dead_message", b"It is cut off.")]


def asked(id: str) -> dict[str, Any]:
    return {"_id": id, "_time": MORNING}


def done(cause: str, after_seconds: float, **more: Any) -> dict[str, Any]:
    return {"_cause": cause, "_time": MORNING + timedelta(seconds=after_seconds), **more}


def dead(id: str) -> dict[str, Any]:
    return {"_id": id, "_timestamp": MORNING, "_headers": DEAD}


def topics(events: dict[str, list[dict[str, Any]]]) -> Callable[..., pa.RecordBatchReader]:
    """Gives these events, by topic; of topics that aren't named, none."""

    def read(table: Table, *_: object) -> pa.RecordBatchReader:
        rows = [
            {"_partition": 0, "_offset": number, **event}
            for number, event in enumerate(events.get(table.topic or "", []))
        ]
        names = [*table.columns, "_partition", "_offset"]
        return pa.table({name: pa.array([row[name] for row in rows], TYPES[name]) for name in names}).to_reader()

    return read


def kinds(tmp_path: Path, events: dict[str, list[dict[str, Any]]]) -> tuple[list[dict[str, str]], str]:
    """Rows of the table, and the page."""
    day = {"day": "2026-11-24"}
    result = made(
        EXAMPLES, tmp_path / "out", "daily-activity", topics=topics(events), parameters=day, formats=["html", "csv"]
    )
    with result.files[1].path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), text_of(result, "html")


def test_each_kind_is_counted_with_its_failures_and_its_time(tmp_path: Path) -> None:
    both = {"image": "processed", "email": "sent", "video": "processed", "report": "ready", "cleanup": "done"}
    events = {f"{kind}.requested": [asked(f"{kind}-1"), asked(f"{kind}-2")] for kind in both}
    events |= {f"{kind}.{end}": [done(f"{kind}-1", 2.5)] for kind, end in both.items()}
    events |= {f"{kind}.requested.dead": [dead(f"{kind}-2")] for kind in both}
    rows, page = kinds(tmp_path, events)
    assert {(row["kind"], row["seconds"], row["outcome"]) for row in rows} == {
        *((kind, "2.5", "done") for kind in ("Pictures", "Mails", "Videos", "Reports", "Clean-ups")),
        *((kind, "", "failed") for kind in ("Pictures", "Mails", "Videos", "Reports", "Clean-ups")),
    }
    for kind in ("Pictures", "Mails", "Videos", "Reports", "Clean-ups"):
        assert f'<td>{kind}</td><td class="n">1</td><td class="n">1</td><td class="n">2.50</td>' in page
    assert page.count("It is cut off.") == 5


def test_notices_that_went_as_one_are_counted_each_and_what_was_meant_to_wait_has_no_time(tmp_path: Path) -> None:
    sent = {"outcome": "sent"}
    events = {
        "notification.requested": [asked("n-1"), asked("n-2"), asked("n-3")],
        "notification.sent": [
            done("n-1", 0.5, notices=["n-1"], **sent),
            done("n-2", 0.5, notices=["n-2"], outcome="waiting"),
            done("due", 900, notices=["n-2", "n-3"], **sent),
        ],
        "notification.due.dead": [dead("due-9")],
    }
    rows, page = kinds(tmp_path, events)
    assert sorted((row["event"], row["seconds"], row["outcome"]) for row in rows) == [
        ("due-9", "", "failed"),
        ("n-1", "0.5", "done"),
        ("n-2", "", "done"),
        ("n-3", "", "done"),
    ]
    assert '<td>Notifications</td><td class="n">3</td><td class="n">1</td><td class="n">0.50</td>' in page


def test_an_event_that_ran_twice_is_counted_once(tmp_path: Path) -> None:
    twice = {
        "image.requested": [asked("a"), asked("a")],
        "image.processed": [done("a", 1), done("a", 60)],
    }
    rows, _ = kinds(tmp_path, twice)
    assert [(row["event"], row["seconds"]) for row in rows] == [("a", "1.0")]


def test_a_day_without_anything_is_a_page_that_says_so(tmp_path: Path) -> None:
    rows, page = kinds(tmp_path, {})
    assert rows == []
    assert "Nothing failed." in page
    assert "How long people waited" not in page


TWO_TABLES = """
title = "Goods"
formats = ["csv"]
table = "goods"
[tables.files]
csv = "data.csv"
[tables.dear]
sql = "dear.sql"
[queries.goods]
"""


def test_a_table_can_be_a_select_over_others_and_nothing_else(tmp_path: Path) -> None:
    report = write_report(tmp_path, report__toml=TWO_TABLES, goods__sql="SELECT * FROM dear")
    (report / "data.csv").write_text("name,price\nlamp,9\nchair,40\n", encoding="utf-8")
    refused = (
        ("SELECT name FROM files WHERE price > :least", "takes no parameters, found :least"),
        ("DROP TABLE files", "DROP"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled|Permission"),
        ("SELECT 1; SELECT 2", "several statements"),
    )
    for number, (sql, words) in enumerate(refused):
        (report / "dear.sql").write_text(sql, encoding="utf-8")
        with pytest.raises(Reject, match=words):
            made(tmp_path, tmp_path / f"out-{number}")
    (report / "dear.sql").write_text("SELECT name FROM files WHERE price > 10", encoding="utf-8")
    assert text_of(made(tmp_path, tmp_path / "out"), "csv").split() == ["name", "chair"]
    (report / "dear.sql").unlink()
    assert [str(fault) for fault in examine(report)[1]] == ["dear.sql: isn't there"]
