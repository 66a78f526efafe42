"""The files of reports: what is in CSV, XLSX, HTML and PDF, and that the same request gives the same bytes."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pypdfium2
import pytest

from examples.reports.sample_database import make_database
from streams.report.columns import columns_of
from streams.report.csv_file import CsvFile
from streams.report.definition import Column
from streams.report.xlsx_file import SHEET_ROWS, XlsxFile
from tests.unit.report_samples import AT, BARE, EXAMPLES, made, shop, text_of, write_report

UTC_ZONE = ZoneInfo("UTC")
FORMULAS = ['=cmd|"/c calc"!A1', "+1+2", "-1-2", "@SUM(A1)", "\t=1", "\r=1"]


def csv_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def pdf_text(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    pages = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return pages


def test_texts_that_look_like_formulas_are_disarmed_in_csv_and_are_texts_in_xlsx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(tmp_path / "shop.db", [(number, text, -5) for number, text in enumerate(FORMULAS)], monkeypatch)
    write_report(tmp_path / "reports")
    result = made(tmp_path / "reports", tmp_path / "out", formats=["csv", "xlsx"])
    rows = csv_rows(result.files[0].path)
    assert rows[0] == ["id", "name", "price"]
    assert [row[1] for row in rows[1:]] == [f"'{text}" for text in FORMULAS]
    assert {row[2] for row in rows[1:]} == {"-5"}
    sheet = openpyxl.load_workbook(result.files[1].path)["Goods"]
    cells = [sheet.cell(row, 2) for row in range(2, len(FORMULAS) + 2)]
    # Spreadsheets know no carriage return: it comes back as they write it.
    assert [str(cell.value).replace("_x000D_", "\r").strip() for cell in cells] == [text.strip() for text in FORMULAS]
    assert {cell.data_type for cell in cells} == {"s"}


def test_csv_for_programs_can_be_had_without_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path / "shop.db", [(1, "=1", 'a "quoted", comma\r\nline')], monkeypatch)
    write_report(tmp_path / "reports", report__toml=BARE + "[csv]\nguard = false\nbom = true\n")
    result = made(tmp_path / "reports", tmp_path / "out", formats=["csv"])
    expected = '\ufeffid,name,price\r\n1,=1,"a ""quoted"", comma\r\nline"\r\n'
    assert result.files[0].path.read_bytes().decode() == expected


def test_cells_of_a_spreadsheet_have_types(tmp_path: Path) -> None:
    names = ["day", "moment", "price", "share", "huge", "exact", "yes", "old", "link", "none"]
    declared = {"price": Column(type="money", currency="USD"), "share": Column(type="percent")}
    columns = columns_of(names, declared, UTC_ZONE)
    row: list[Any] = [
        date(2026, 11, 24),
        AT,
        Decimal("1234.50"),
        Decimal("0.255"),
        2**53 + 1,
        Decimal("12345678901234567.89"),
        True,
        date(1850, 1, 1),
        "https://x.example/",
        None,
    ]
    with XlsxFile(tmp_path / "a.xlsx", tmp_path, title="A", made_at=AT) as book:
        book.begin("A: b/c [d]", columns)
        book.add([[column.convert(value) for column, value in zip(columns, row, strict=True)]])
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    assert sheet.title == "A  b c  d"
    cells = {sheet.cell(1, index).value: sheet.cell(2, index) for index in range(1, len(names) + 1)}
    values = [cell.value for cell in cells.values()]
    assert values == [
        datetime(2026, 11, 24),
        AT.replace(tzinfo=None),
        1234.5,
        0.255,
        "9007199254740993",
        "12345678901234567.89",
        True,
        "1850-01-01",
        "https://x.example/",
        None,
    ]
    assert cells["Price"].number_format == '#,##0.00 "USD"'
    assert cells["Share"].number_format == "0.0%"
    assert cells["Link"].hyperlink is None
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:J2"


def test_more_rows_than_a_sheet_takes_go_onto_further_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SHEET_ROWS == 1_048_576
    monkeypatch.setattr("streams.report.xlsx_file.SHEET_ROWS", 4)
    columns = columns_of(["n"], {}, UTC_ZONE)
    with XlsxFile(tmp_path / "a.xlsx", tmp_path, title="A", made_at=AT) as book:
        book.begin("Orders", columns)
        book.add([[number] for number in range(7)])
    sheets = openpyxl.load_workbook(tmp_path / "a.xlsx").worksheets
    assert [sheet.title for sheet in sheets] == ["Orders", "Orders (2)", "Orders (3)"]
    assert [[row[0] for row in sheet.values] for sheet in sheets] == [["N", 0, 1, 2], ["N", 3, 4, 5], ["N", 6]]


def test_markup_in_data_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>"
    shop(tmp_path / "shop.db", [(1, evil, "</td></table>")], monkeypatch)
    write_report(tmp_path / "reports")
    result = made(tmp_path / "reports", tmp_path / "out", formats=["html"], title='A "title" </style>')
    page = text_of(result, "html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</style>") == 1
    assert "Content-Security-Policy" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_report_without_rows_says_so_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path / "shop.db", [], monkeypatch)
    write_report(tmp_path / "reports")
    result = made(tmp_path / "reports", tmp_path / "out", locale="de")
    assert result.rows == 0
    files = {file.format: file.path for file in result.files}
    assert "Keine Zeilen zu diesen Angaben." in files["html"].read_text(encoding="utf-8")
    assert "Keine Zeilen" in pdf_text(files["pdf"])[0]
    assert csv_rows(files["csv"]) == [["id", "name", "price"]]
    assert [cell.value for cell in openpyxl.load_workbook(files["xlsx"]).active[1]] == ["Id", "Name", "Price"]


def test_a_long_table_repeats_its_head_and_numbers_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path / "shop.db", [(n, f"thing {n}", n * 1000.5) for n in range(300)], monkeypatch)
    write_report(tmp_path / "reports", report__toml=BARE + "[limits]\npage_rows = 200\n")
    result = made(tmp_path / "reports", tmp_path / "out", formats=["pdf", "html"])
    (pdf, _) = result.files
    pages = pdf_text(pdf.path)
    assert len(pages) == pdf.pages
    assert len(pages) > 4
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Price" in page or number == len(pages)
    assert "Goods" in pages[1]
    assert "The first 200 of 300 rows" in text_of(result, "html")
    assert "199,099.5" in text_of(result, "html")


def test_a_very_long_text_is_cut_on_a_page_and_whole_in_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path / "shop.db", [(1, "x" * 40_000, 1)], monkeypatch)
    write_report(tmp_path / "reports")
    result = made(tmp_path / "reports", tmp_path / "out")
    files = {file.format: file for file in result.files}
    assert files["pdf"].pages == 1
    assert csv_rows(files["csv"].path)[1][1] == "x" * 40_000
    assert result.notes == ["1 texts are longer than a cell of a spreadsheet and were cut in it."]


_AGAIN = """
import hashlib, json, sys
from pathlib import Path
from tests.unit.report_samples import made
result = made(Path(sys.argv[1]), Path(sys.argv[2]), "sales")
print(json.dumps({file.format: hashlib.sha256(file.path.read_bytes()).hexdigest() for file in result.files}))
"""


def test_the_same_request_gives_the_same_bytes_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    make_database(tmp_path / "shop.db", date(2026, 11, 23))
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", f"sqlite:///{tmp_path / 'shop.db'}")
    result = made(EXAMPLES, tmp_path / "here", "sales")
    here = {file.format: hashlib.sha256(file.path.read_bytes()).hexdigest() for file in result.files}
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    there = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(EXAMPLES), str(tmp_path / "there")],
        check=True,
        capture_output=True,
        text=True,
        cwd=EXAMPLES.parents[1],
    )
    assert json.loads(there.stdout.splitlines()[-1]) == here
    assert set(here) == {"pdf", "html", "xlsx", "csv"}


def test_the_sales_report_shows_what_the_database_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    make_database(tmp_path / "shop.db", date(2026, 11, 23))
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", f"sqlite:///{tmp_path / 'shop.db'}")
    parameters = {"from": "2026-01-01", "until": "2026-06-30", "region": "North"}
    result = made(EXAMPLES, tmp_path / "out", "sales", parameters=parameters, formats=["html", "csv"])
    connection = sqlite3.connect(tmp_path / "shop.db")
    where = "ordered_on BETWEEN '2026-01-01' AND '2026-06-30' AND region = 'North'"
    count, cents = connection.execute(f"SELECT count(*), sum(amount_cents) FROM orders WHERE {where}").fetchone()
    connection.close()
    assert result.rows == count
    page = text_of(result, "html")
    assert f"€{round(cents / 100):,}" in page
    assert page.count("<svg") == 3
    rows = csv_rows(result.files[1].path)
    assert sum(Decimal(row[6]) for row in rows[1:]) == Decimal(cents) / 100


def test_progress_counts_rows_and_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path / "shop.db", [(n, "a", 1) for n in range(4500)], monkeypatch)
    write_report(tmp_path / "reports")
    seen: list[tuple[int | None, int | None, str | None]] = []

    def progress(
        done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
    ) -> None:
        seen.append((done, total, unit))

    result = made(tmp_path / "reports", tmp_path / "out", progress=progress)
    rows = [done for done, _, unit in seen if unit == "rows"]
    assert rows == [2000, 4000, 4500]
    assert seen[-1] == (result.files[3].pages, result.files[3].pages, "pages")


def test_a_csv_writer_keeps_no_file_open(tmp_path: Path) -> None:
    with CsvFile(tmp_path / "a.csv", guard=True, bom=False) as file:
        file.begin(columns_of(["=a"], {}, UTC_ZONE))
    assert (tmp_path / "a.csv").read_bytes() == b"'=a\r\n"
