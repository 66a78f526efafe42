"""`tidemill cleanup`: what a person sees, and what a program gets."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from streams.cleanup.command import register
from tests.unit.cleaning import Site, declared

EXAMPLE = Path(__file__).parents[2] / "examples/cleanup.toml"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, now=datetime.now(UTC))
    site.fill(old=12, young=30)
    policies = [
        declared('older_than = "30d"\narchive = "archive"\nbatch_rows = 5', site.url),
        declared('name = "careful"\nolder_than = "30d"\nmax_share = 0.1', site.url),
        declared('kind = "files"\nprefix = "exports"\nolder_than = "14d"'),
    ]
    (tmp_path / "cleanup.toml").write_text("\n".join(policies))
    monkeypatch.setenv("TIDEMILL_CLEANUP_POLICIES", str(tmp_path / "cleanup.toml"))
    monkeypatch.setenv("TIDEMILL_STORE_URL", site.store.home.uri)
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(tmp_path / "state"))
    return site


def _tidemill(*arguments: str, answer: str = "") -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["cleanup", *arguments], input=answer, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_check_says_that_all_is_well_or_all_that_isnt(tmp_path: Path) -> None:
    good = _tidemill("check", str(EXAMPLE))
    assert (good.exit_code, good.stdout) == (0, f"{EXAMPLE}: 4 policies, no faults.\n")
    (tmp_path / "bad.toml").write_text('[[policy]]\nname = "a"\nkind = "files"\nolder_than = "soon"\n')
    bad = _tidemill("check", str(tmp_path / "bad.toml"))
    assert bad.exit_code == 1
    assert "2 faults in bad.toml:" in bad.stderr
    assert "bad.toml:4: policy \"a\": older_than is 'soon'" in bad.stderr
    listed = json.loads(_tidemill("check", str(tmp_path / "bad.toml"), "--json").stdout)
    assert [(fault["line"], fault["policy"]) for fault in listed] == [(1, "a"), (4, "a")]
    assert json.loads(_tidemill("check", str(EXAMPLE), "--json").stdout) == []


def test_plan_counts_each_policy_and_says_what_would_be_refused(site: Site) -> None:
    shown = _tidemill("plan")
    assert shown.exit_code == 1, "one of them would be refused"
    lines = [re.split(r"\s{2,}", line.strip()) for line in shown.stdout.splitlines()]
    assert lines == [
        ["policy", "of", "there", "old", "share", "run"],
        ["sessions", "rows of sessions", "42", "12", "28.6%", "goes"],
        ["careful", "rows of sessions", "42", "12", "28.6%", "refused: more than 10%"],
        ["files", "files of exports/", "0", "0", "0.0%", "goes"],
    ]
    rows = json.loads(_tidemill("plan", "sessions", "--json").stdout)
    assert rows == [
        {
            "policy": "sessions",
            "of": "rows of sessions",
            "before": 42,
            "matched": 12,
            "share": 0.2857,
            "verdict": "goes",
        }
    ]
    assert len(site.ids()) == 42


def test_plan_goes_on_where_one_policy_cant_be_counted(site: Site) -> None:
    site.sql("DROP TABLE sessions")
    shown = _tidemill("plan", "--json")
    assert shown.exit_code == 1
    assert [row["verdict"][:28] for row in json.loads(shown.stdout)] == [
        *("There is no table 'sessions'", "There is no table 'sessions'"),
        "goes",
    ]


def test_run_asks_first(site: Site) -> None:
    refused = _tidemill("run", "sessions", answer="n\n")
    assert refused.exit_code == 1
    assert "12 of 42 of rows of sessions. They are archived to archive/ first." in refused.stderr
    assert len(site.ids()) == 42
    shown = _tidemill("run", "sessions", answer="y\n")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"✓ 12 of 42 removed in \d+\.\d s, 30 stay\.", shown.stdout)
    assert shown.stdout.count(".parquet") == 3
    assert site.ids() == list(range(13, 43))


def test_run_without_anybody_to_ask_removes_nothing(site: Site) -> None:
    assert _tidemill("run", "sessions").exit_code == 1
    assert len(site.ids()) == 42


def test_run_with_yes_and_json_is_for_programs(site: Site) -> None:
    counted = json.loads(_tidemill("run", "sessions", "--dry-run", "--json").stdout)
    assert (counted["dry_run"], counted["matched"], counted["deleted"]) == (True, 12, 0)
    done = json.loads(_tidemill("run", "sessions", "--yes", "--json").stdout)
    assert (done["deleted"], done["after"], len(done["archives"])) == (12, 30, 3)


def test_run_refuses_what_the_stream_would_refuse(site: Site) -> None:
    refused = _tidemill("run", "careful", "--yes")
    assert refused.exit_code == 1
    assert "would remove 12 of 42 rows, 28.6%" in refused.stderr
    assert _tidemill("run", "careful", "--yes", "--force").exit_code == 0
    assert site.ids() == list(range(13, 43))


def test_a_run_that_was_cut_off_can_be_gone_on_with(site: Site) -> None:
    first = _tidemill("run", "sessions", "--yes")
    found = re.search(r"--id (\S+) --as-of (\S+)", first.stderr)
    assert found is not None
    again = json.loads(_tidemill("run", "sessions", "--yes", "--id", found[1], "--as-of", found[2], "--json").stdout)
    assert (again["deleted"], again["deleted_earlier"], len(again["archives"])) == (0, 12, 3)
    assert "--id needs the moment" in _tidemill("run", "sessions", "--yes", "--id", found[1]).stderr
