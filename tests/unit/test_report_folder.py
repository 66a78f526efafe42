"""A report's folder: how it is found, and that all its faults are told at once, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.report.binds import binds_of, fault_of, for_duckdb, for_sqlalchemy
from streams.report.folder import examine, load, names
from streams.report.lint import lint
from tests.unit.report_samples import BARE, EXAMPLES, write_report
from tidemill.errors import ConfigError, Reject


def faults(folder: Path) -> list[str]:
    return [str(fault) for fault in lint(folder)]


def test_the_reports_that_ship_have_no_faults() -> None:
    assert names(EXAMPLES) == ["daily-activity", "sales"]
    assert [faults(EXAMPLES / name) for name in names(EXAMPLES)] == [[], []]


@pytest.mark.parametrize("name", ["../goods", "goods/../goods", "/etc", "", "goods\x00", "GOODS", "a" * 500, "no-such"])
def test_a_name_that_is_no_report_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    write_report(tmp_path)
    with pytest.raises(Reject, match=r"no report .*There are: goods"):
        load(tmp_path, name)


def test_a_missing_folder_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TIDEMILL_REPORT_FOLDER"):
        names(tmp_path / "none")


def test_a_query_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.sql").write_text("SELECT 1")
    folder = write_report(tmp_path / "reports", report__toml=BARE + 'file = "../secret.sql"\n')
    assert any("queries.goods.file" in fault and "../secret.sql" in fault for fault in faults(folder))
    folder = write_report(tmp_path / "reports", "linked")
    (folder / "goods.sql").unlink()
    (folder / "goods.sql").symlink_to(tmp_path / "secret.sql")
    assert any(fault.startswith("goods.sql: can't be read") for fault in faults(folder))


def test_lint_tells_all_faults_with_file_and_line(tmp_path: Path) -> None:
    folder = write_report(
        tmp_path,
        report__toml=BARE + '[parameters.day]\ntype = "date"\ndefault = "someday"\n[columns.x]\ncolour = "red"\n',
    )
    assert faults(folder) == ["report.toml:11: columns.x.colour: extra inputs are not permitted, found 'red'"]
    folder = write_report(
        tmp_path,
        report__toml=BARE + '[parameters.day]\ntype = "date"\ndefault = "someday"\n',
        goods__sql="-- :not_one\nSELECT ':nor_this' FROM goods\nWHERE id = :dya",
        report__html="{{ table(queries.godos) }}\n{{ colour }}\n<img src='http://x.example/a.png'>\n<script></script>",
        other__sql="SELECT 1",
    )
    assert faults(folder) == [
        "goods.sql:3: :dya is no parameter of this report; there are: day, now",
        "other.sql: nothing in report.toml uses it",
        "report.html:1: queries.godos isn't in report.toml; there are: goods",
        "report.html:2: 'colour' is nothing that a page has",
        "report.html:3: <img src='http://x.example/a.png'>: a page loads nothing; write image('file.png')",
        "report.html:4: <script>: a page runs nothing",
        "report.toml:9: parameters.day.default is 'someday', expected a date such as 2026-11-24, or today, yesterday,"
        " tomorrow or start-of-week, -month, -quarter, -year, then e.g. `- 3 months`",
    ]


def test_a_template_that_cant_be_compiled_is_told_with_its_line(tmp_path: Path) -> None:
    folder = write_report(tmp_path, report__html="one\n{% if %}\n")
    assert faults(folder)[0].startswith("report.html:2: ")


def test_toml_that_cant_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    report, found = examine(write_report(tmp_path, report__toml='title = "a"\nformats = [\n'))
    assert report is None
    assert [fault.file for fault in found] == ["report.toml"]


@pytest.mark.parametrize(
    ("sql", "names_found"),
    [
        ("SELECT :a, :b_2", ["a", "b_2"]),
        ("SELECT ':a' || \":b\" -- :c\n/* :d */ , :e", ["e"]),
        ("SELECT x::date, $$ :a $$, '12:30'", []),
        ("SELECT 'it''s :a', :b", ["b"]),
    ],
)
def test_binds_are_found_outside_of_strings_and_comments_alone(sql: str, names_found: list[str]) -> None:
    assert [bind.name for bind in binds_of(sql)] == names_found


def test_each_database_gets_binds_in_its_own_way() -> None:
    sql = "SELECT ':x', '12:30', a::date WHERE b = :day"
    assert for_duckdb(sql) == "SELECT ':x', '12:30', a::date WHERE b = $day"
    assert for_sqlalchemy(sql) == "SELECT '\\:x', '12\\:30', a::date WHERE b = :day"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM goods", "begins with DELETE"),
        ("SELECT 1; DROP TABLE goods", "several statements"),
        ("-- nothing", "holds no statement"),
        ("/* SELECT */ UPDATE goods SET id = 1", "begins with UPDATE"),
    ],
)
def test_a_query_that_doesnt_look_like_reading_is_a_fault(sql: str, said: str) -> None:
    assert said in (fault_of(sql) or "")
    assert fault_of("WITH a AS (SELECT ';') SELECT * FROM a;") is None
