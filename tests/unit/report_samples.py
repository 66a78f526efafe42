"""Reports made for tests: a folder with what a test says, a small database, and a call that makes the files."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from streams.report.making import Made, make
from streams.report.settings import SOURCE_PREFIX, ReportSettings
from tidemill.events import ReportRequested

EXAMPLES = Path(__file__).parents[2] / "examples/reports"
AT = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
BARE = """
title = "Goods"
formats = ["html", "csv", "xlsx", "pdf"]
table = "goods"
[queries.goods]
source = "shop"
"""
PAGE = '{% extends "tidemill/report.html" %}{% block content %}{{ table(queries.goods) }}{% endblock %}'


def no_topics(*_: object) -> NoReturn:
    raise AssertionError("this report has no topics")


def no_progress(*_: object, **__: object) -> None:
    """Nobody watches."""


def write_report(folder: Path, name: str = "goods", **files: str) -> Path:
    """A report's folder; `goods__sql` stands for `goods.sql`. What isn't given is a small report that works."""
    report = folder / name
    report.mkdir(parents=True, exist_ok=True)
    given = {"report__toml": BARE, "report__html": PAGE, "goods__sql": "SELECT * FROM goods ORDER BY id"} | files
    for file, text in given.items():
        (report / file.replace("__", ".")).write_text(text, encoding="utf-8")
    return report


def shop(path: Path, rows: list[tuple[Any, ...]], monkeypatch: Any) -> Path:
    """A database with a table `goods` (id, name, price), as the source `shop`."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE goods (id, name, price)")
        connection.executemany("INSERT INTO goods VALUES (?, ?, ?)", rows)
    monkeypatch.setenv(f"{SOURCE_PREFIX}SHOP", f"sqlite:///{path}")
    return path


def made(
    folder: Path, out: Path, name: str = "goods", *, parameters: Mapping[str, str] | None = None, **more: Any
) -> Made:
    """Make a report of a folder into another."""
    out.mkdir(exist_ok=True)
    settings = ReportSettings(folder=folder, **more.pop("settings", {}))
    topics, progress = more.pop("topics", no_topics), more.pop("progress", no_progress)
    request = ReportRequested(report=name, parameters=dict(parameters or {}), **more)
    return make(request, out, at=AT, settings=settings, topics=topics, progress=progress)


def text_of(result: Made, format: str) -> str:
    """A file of a report as text."""
    (file,) = [file for file in result.files if file.format == format]
    return file.path.read_bytes().decode()
