"""`tidemill report`: what an author sees."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from examples.reports.sample_database import make_database
from streams.report.command import register
from tests.unit.report_samples import EXAMPLES, write_report

commands = typer.Typer()
register(commands)


@commands.callback()
def _callback() -> None:
    """One command more, so that `report` is a group."""


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["report", *arguments])
    return result.exit_code, result.output


def test_list_and_show_tell_what_there_is() -> None:
    status, said = run("list", "--reports", str(EXAMPLES), "--json")
    assert status == 0
    assert [row["report"] for row in json.loads(said)] == ["daily-activity", "sales"]
    status, said = run("show", "sales", "--reports", str(EXAMPLES))
    assert status == 0
    assert "start-of-month - 12 months" in said


def test_render_makes_the_files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_database(tmp_path / "shop.db", date(2026, 11, 23))
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", f"sqlite:///{tmp_path / 'shop.db'}")
    arguments = ("--reports", str(EXAMPLES), "--out", str(tmp_path / "out"), "--format", "csv", "--format", "html")
    status, said = run("render", "sales", "--at", "2026-11-24T08:30:00", "--param", "region=East", *arguments)
    assert status == 0, said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "sales-2026-11-24.csv",
        "sales-2026-11-24.html",
    ]


@pytest.mark.parametrize("arguments", [("--param", "region"), ("--format", "docx"), ("--param", "region=Moon")])
def test_render_refuses_what_makes_no_sense(tmp_path: Path, arguments: tuple[str, str]) -> None:
    status, _ = run("render", "sales", "--reports", str(EXAMPLES), "--out", str(tmp_path), *arguments)
    assert status == 1


def test_lint_ends_with_1_where_there_is_a_fault(tmp_path: Path) -> None:
    assert run("lint", "--reports", str(EXAMPLES))[0] == 0
    write_report(tmp_path, goods__sql="DELETE FROM goods")
    status, said = run("lint", "--reports", str(tmp_path), "--json")
    assert status == 1
    assert json.loads(said)[0]["place"] == "goods/goods.sql:1"
