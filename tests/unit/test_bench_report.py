"""A run's JSON becomes a page and pictures that say what was measured, the unpleasant included."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer import Typer
from typer.testing import CliRunner

from bench.figures import Figure, median_of, not_reached
from bench.report import curves, dots, tables
from bench.report.__main__ import DOCS, PICTURES, TABLES, report
from bench.report.page import filled
from bench.report.results import Results, merged, read
from bench.report.svg import Scale
from tidemill.errors import ConfigError


def results(**more: list[Figure]) -> Results:
    figures = {
        "drain": [
            median_of("no-op", [60_000.0], "events/s", contender="tidemill"),
            median_of("no-op", [1_000.0], "events/s", contender="celery"),
            median_of("no-op", [130_000.0], "events/s", contender="quixstreams"),
            median_of("no-op, beside the bare loop", [0.6], "x", contender="tidemill", least=0.65),
        ],
        "latency": [
            median_of("latency at 2000/s, p50", [2.0], "ms", contender="tidemill"),
            median_of("latency at 2000/s, p99", [9.0], "ms", contender="tidemill", most=30),
            not_reached("latency at 2000/s, p50", "ms", contender="celery", note="publishes 800/s"),
        ],
        "growth": [
            *(median_of("growth with keys", [9e4], "events/s", contender="tidemill", at=at) for at in (10, 1_000)),
            *(median_of("growth with keys, memory", [99.0], "MB", contender="tidemill", at=at) for at in (10, 1_000)),
        ],
        **more,
    }
    contenders = {
        key: {"label": label, "version": "1.0", "notes": "one process"}
        for key, label in (("tidemill", "Tidemill"), ("celery", "Celery + Redis"), ("quixstreams", "quixstreams"))
    }
    return Results("2026-11-24T12:00:00+00:00", 1440, False, {"processors": 2}, contenders, figures)


def test_who_is_ahead_is_said_and_who_is_behind_is_not() -> None:
    said = tables.ahead(results())
    assert "quixstreams 130,000 (2.2 times as good); Tidemill 60,000" in said
    assert "Celery" not in said


def test_less_than_a_tenth_ahead_is_no_difference() -> None:
    close = [
        median_of("no-op", [60_000.0], "events/s", contender="tidemill"),
        median_of("no-op", [65_000.0], "events/s", contender="celery"),
    ]
    assert tables.ahead(results(drain=close, latency=[])) == "Nowhere, by more than a tenth."


def test_a_missed_target_stands_out() -> None:
    assert "| no-op, beside the bare loop | 0.600 | at least 0.65 | **no** |" in tables.targets(results())
    assert "| latency at 2000/s, p99 | 9.00 ms | at most 30 ms | yes |" in tables.targets(results())


def test_who_cannot_keep_up_gets_a_reason_instead_of_a_number() -> None:
    (row,) = [line for line in tables.latency(results()).splitlines() if line.startswith("| Celery")]
    assert "publishes 800/s" in row
    assert "publishes 800/s" in dots.latency(results())


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_svg_that_can_be_read_aloud_and_in_the_dark(name: str) -> None:
    drawn = PICTURES[name](results())
    root = ElementTree.fromstring(drawn)
    named = {child.tag.partition("}")[2]: child.text for child in root}
    assert named["title"]
    assert named["desc"]
    assert "prefers-color-scheme: dark" in (named["style"] or "")


def test_a_curve_has_a_point_for_every_figure() -> None:
    root = ElementTree.fromstring(curves.growth(results()))
    assert len(root.findall("{*}circle")) == 4


def test_more_is_further_to_the_right() -> None:
    scale = Scale([1_000, 130_000], 0, 100, logarithmic=True)
    assert scale(1_000) == 0
    assert scale(1_000) < scale(60_000) < scale(130_000) < 100
    assert scale.ticks == [1e3, 1e4, 1e5, 1e6]


def test_a_linear_axis_begins_at_zero_and_ends_beyond_the_most() -> None:
    scale = Scale([112.0], 0, 100, logarithmic=False)
    assert scale.ticks == [0, 50, 100, 150]
    assert scale(0) == 0


def test_only_what_is_between_the_marks_changes() -> None:
    page = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"
    assert filled(page, {"a": "new"}) == "before\n<!-- begin a -->\nnew\n<!-- end a -->\nafter\n"
    assert filled(filled(page, {"a": "new"}), {"a": "new"}) == filled(page, {"a": "new"})


def test_a_page_without_a_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="no part 'a'"):
        filled("no marks", {"a": "new"})


def test_the_page_of_the_documentation_has_a_place_for_every_part() -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert filled(page, dict.fromkeys(TABLES, "x")).count("\nx\n") == len(TABLES)
    assert [name for name in PICTURES if f"(performance/{name}.svg)" not in page] == []


def test_of_several_runs_the_later_ones_win() -> None:
    later = results(drain=[median_of("no-op", [70_000.0], "events/s", contender="tidemill")])
    both = merged([results(), later])
    found = both.find("drain", "no-op", "tidemill")
    assert found is not None
    assert (found.value, both.seconds) == (70_000.0, 2880)


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no .*none\.json"):
        read(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"figures": {}}')
    with pytest.raises(ConfigError, match="isn't a result"):
        read(tmp_path / "other.json")


def test_the_command_fills_the_page_and_draws_the_pictures(tmp_path: Path) -> None:
    given = results()
    kept = {**asdict(given), "figures": {name: [asdict(each) for each in some] for name, some in given.figures.items()}}
    (tmp_path / "run.json").write_text(json.dumps(kept))
    (tmp_path / "performance.md").write_text((DOCS / "performance.md").read_text(encoding="utf-8"))
    app = Typer()
    app.command()(report)
    done = CliRunner().invoke(app, [str(tmp_path / "run.json"), "--docs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| Celery + Redis | – | 1,000 |" in (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "performance").iterdir()} == {f"{name}.svg" for name in PICTURES}
