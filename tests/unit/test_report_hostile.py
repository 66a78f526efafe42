"""Reports and requests that mean harm, or run wild: what is refused, what is stopped, what is left behind."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.report.pdf_file import write_pdf
from streams.report.scratch import remove_abandoned, scratch_folder
from tests.unit.report_samples import AT, BARE, EXAMPLES, made, shop, text_of, write_report
from tidemill.errors import ConfigError, HandlerTimeout, Reject

WITH_NAME = BARE + '[parameters.name]\ntype = "text"\ndefault = "x"\n'
TABLES = """
title = "Files"
formats = ["csv"]
table = "goods"
[tables.things]
parquet = "data/*.parquet"
[queries.goods]
"""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for reports over a small shop."""
    shop(tmp_path / "shop.db", [(1, "a", 1), (2, "b", 2)], monkeypatch)
    return tmp_path / "reports"


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """A web server, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def things(folder: Path) -> None:
    (folder / "data").mkdir()
    pq.write_table(pa.table({"id": [1, 2, 3]}), folder / "data/a.parquet")


@pytest.mark.parametrize("value", ["' OR '1'='1", "a'; DROP TABLE goods; --", ":name", "{{ 7 * 7 }}", "$name"])
def test_a_parameter_is_only_ever_a_value(reports: Path, tmp_path: Path, value: str) -> None:
    write_report(
        reports,
        report__toml=WITH_NAME,
        goods__sql="SELECT id, :name AS said FROM goods WHERE name = 'a' OR name = :name",
        report__html="<p>{{ parameters.name }}</p>{{ table(queries.goods) }}",
    )
    result = made(reports, tmp_path / "out", parameters={"name": value}, formats=["csv", "html"])
    assert result.rows == 1
    assert text_of(result, "csv") == f"id,said\r\n1,{value}\r\n"
    assert "49" not in text_of(result, "html").split("<p>")[1].split("</p>")[0]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT 1) INSERT INTO goods SELECT 9, 9, 9",
        "WITH a AS (SELECT 1) DELETE FROM goods",
        "WITH a AS (SELECT 1) UPDATE goods SET name = 'x'",
        "SELECT * FROM pragma_table_info('goods')",
    ],
)
def test_a_query_that_writes_to_sqlite_is_refused_and_writes_nothing(reports: Path, tmp_path: Path, sql: str) -> None:
    write_report(reports, goods__sql=sql)
    with pytest.raises(Reject, match="refuses the query"):
        made(reports, tmp_path / "out", formats=["csv"])
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        assert connection.execute("SELECT * FROM goods").fetchall() == [(1, "a", 1), (2, "b", 2)]


def test_a_database_that_isnt_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", f"sqlite:///{tmp_path / 'none.db'}")
    write_report(tmp_path / "reports")
    with pytest.raises(Reject, match="unable to open"):
        made(tmp_path / "reports", tmp_path / "out", formats=["csv"])
    assert not (tmp_path / "none.db").exists()


def test_a_source_without_an_address_says_which_variable_it_needs(tmp_path: Path) -> None:
    write_report(tmp_path / "reports")
    with pytest.raises(ConfigError, match="TIDEMILL_REPORT_SOURCE_SHOP"):
        made(tmp_path / "reports", tmp_path / "out", formats=["csv"])


def test_a_password_is_never_in_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", "nosuch://reader:s3cret@db/shop")
    write_report(tmp_path / "reports")
    with pytest.raises(ConfigError) as caught:
        made(tmp_path / "reports", tmp_path / "out", formats=["csv"])
    assert "s3cret" not in str(caught.value)


def test_an_endless_query_of_sqlite_is_stopped(reports: Path, tmp_path: Path) -> None:
    write_report(reports, report__toml=BARE + "[limits]\nseconds = 0.3\n", goods__sql=ENDLESS)
    started = time.monotonic()
    with pytest.raises(HandlerTimeout, match=r"longer than 0.3 s"):
        made(reports, tmp_path / "out", formats=["csv"])
    assert time.monotonic() - started < 5


def test_an_endless_query_of_duckdb_is_stopped(tmp_path: Path) -> None:
    folder = write_report(
        tmp_path / "reports",
        report__toml=TABLES + "[limits]\nseconds = 0.3\n",
        goods__sql="SELECT count(*) AS c FROM range(1000000000) a, range(1000000000) b WHERE a.range * b.range = -1",
    )
    things(folder)
    started = time.monotonic()
    with pytest.raises(HandlerTimeout):
        made(tmp_path / "reports", tmp_path / "out")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('{db}')",
        "SELECT * FROM '{db}'",
        "FROM glob('/etc/*')",
        "WITH a AS (SELECT 1) INSERT INTO things SELECT * FROM a",
        "SELECT * FROM sqlite_scan('{db}', 'goods')",
    ],
)
def test_duckdb_reaches_nothing_but_the_reports_tables(reports: Path, tmp_path: Path, sql: str) -> None:
    folder = write_report(reports, report__toml=TABLES, goods__sql=sql.replace("{db}", str(tmp_path / "shop.db")))
    things(folder)
    with pytest.raises(Reject, match=r"refuses a query|no single SELECT"):
        made(reports, tmp_path / "out")


def test_duckdb_reads_the_reports_own_files(tmp_path: Path) -> None:
    folder = write_report(
        tmp_path / "reports", report__toml=TABLES, goods__sql="SELECT sum(id) AS s FROM things WHERE id < 3"
    )
    things(folder)
    assert text_of(made(tmp_path / "reports", tmp_path / "out"), "csv") == "s\r\n3\r\n"


@pytest.mark.parametrize(
    "template",
    [
        "{{ queries.goods.__class__.__mro__ }}",
        "{{ table.__globals__ }}",
        "{{ ''.__class__ }}",
        "{{ queries.goods.columns[0].convert.__closure__ }}",
        "{% include '../goods.sql' %}",
        "{% include '/etc/passwd' %}",
        "{{ image('../../secret.png') }}",
        "{{ image('.hidden.png') }}",
        "{{ image('/etc/passwd.png') }}",
        "{{ nothing_like_that }}",
        "{{ queries.goods.first.colour }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_reaches_out_is_refused(reports: Path, tmp_path: Path, template: str) -> None:
    write_report(reports, report__html=template)
    with pytest.raises(Reject):
        made(reports, tmp_path / "out", formats=["html"])


@pytest.mark.parametrize(
    "template",
    [
        "<img src='{url}/a.png'>",
        "<img src='file:///etc/passwd'>",
        "<img src='logo.png'>",
        "<style>p {{ background: url({url}/b.png) }}</style>",
        "<style>@import '{url}/c.css';</style>",
        "<p style='background:url({url}/d.png)'>",
        "<link rel=stylesheet href='{url}/e.css'>",
        "<iframe src='{url}'></iframe>",
        "<svg><image href='{url}/f.png'/></svg>",
        "<a href='javascript:alert(1)'>x</a>",
        "<p onclick='x()'>",
    ],
)
def test_a_page_that_would_load_something_is_refused(
    reports: Path, tmp_path: Path, web: tuple[str, list[str]], template: str
) -> None:
    url, asked = web
    write_report(reports, report__html=template.replace("{url}", url).replace("{{ b", "{ b").replace(" }}<", " }<"))
    with pytest.raises(Reject, match="isn't self-contained"):
        made(reports, tmp_path / "out", formats=["html", "pdf"])
    assert asked == []


def test_a_pdf_loads_nothing_whatever_its_page_says(tmp_path: Path, web: tuple[str, list[str]]) -> None:
    url, asked = web
    page = (
        f"<style>@font-face{{font-family:x;src:url({url}/f)}} p{{font-family:x;background:url({url}/g)}}</style>"
        f"<img src='{url}/a.png'><img src='file:///etc/passwd'><p>x"
    )
    with pytest.raises(Reject, match="nothing is loaded"):
        write_pdf(page, tmp_path / "a.pdf", title="A", made_at=AT, progress=lambda *_: None)
    assert asked == []


def test_a_picture_of_the_reports_folder_is_within_the_page(reports: Path, tmp_path: Path) -> None:
    folder = write_report(reports, report__html="<img alt='' src=\"{{ image('dot.svg') }}\">")
    (folder / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert 'src="data:image/svg+xml;base64,' in text_of(made(reports, tmp_path / "out", formats=["html"]), "html")


def test_a_picture_that_is_a_link_out_of_the_folder_is_not_read(reports: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder = write_report(reports, report__html="{{ image('a.png') }}")
    (folder / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(Exception, match="symbolic link"):
        made(reports, tmp_path / "out", formats=["html"])


@pytest.mark.parametrize("title", ["", "a\nb", "x" * 201, "\u202e"])
def test_a_title_is_one_printable_line(reports: Path, tmp_path: Path, title: str) -> None:
    write_report(reports)
    with pytest.raises(Reject, match="title"):
        made(reports, tmp_path / "out", formats=["csv"], title=title)


def test_more_rows_than_allowed_are_refused_and_not_cut(reports: Path, tmp_path: Path) -> None:
    write_report(reports, goods__sql="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
    with pytest.raises(Reject, match=r"more than 5,000 rows"):
        made(reports, tmp_path / "out", formats=["csv", "xlsx"], settings={"max_rows": 5000})


def test_a_value_that_isnt_of_its_columns_type_is_refused(reports: Path, tmp_path: Path) -> None:
    write_report(reports, report__toml=BARE + '[columns.name]\ntype = "date"\n')
    with pytest.raises(Reject, match="Column 'name' holds 'a', which is no date"):
        made(reports, tmp_path / "out", formats=["csv"])


def test_a_sum_over_rows_that_arent_all_there_is_refused(reports: Path, tmp_path: Path) -> None:
    write_report(
        reports,
        report__toml=BARE + "[limits]\npage_rows = 1\n",
        report__html="{{ table(queries.goods, total=['price']) }}",
    )
    with pytest.raises(Reject, match="would be wrong"):
        made(reports, tmp_path / "out", formats=["html"])


_HOLD = """
import sys, time
from pathlib import Path
from streams.report.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "big").write_bytes(b"x")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    above = tmp_path / "scratch"
    command = [sys.executable, "-c", _HOLD, str(above)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=EXAMPLES.parents[1]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert remove_abandoned(above) == 0
        process.kill()
    with scratch_folder(above) as folder:
        assert list(above.iterdir()) == [folder]
    assert list(above.iterdir()) == []


def test_the_scratch_folder_goes_when_a_report_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch_folder(tmp_path / "s"):
        raise RuntimeError
    assert list((tmp_path / "s").iterdir()) == []
