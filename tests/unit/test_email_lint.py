"""What `tidemill email` shows of templates: their faults, what they look like, and help when something is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from streams.email.command import register
from streams.email.content import ContentMaker
from streams.email.lint import Finding, example_context, lint
from streams.email.plain_text import plain_text
from streams.email.request import check_request
from streams.email.templates import Templates
from tests.unit.email_samples import TEMPLATES, read, settings, templated

app = typer.Typer()
register(app)
PAGE = "<p>Hello {{ name }}</p>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A template without faults."""
    files = {"a.subject.txt": "For {{ name }}\n", "a.txt": "Hello {{ name }}\n", "a.html": PAGE}
    for name, text in {**files, "a.context.json": '{"name": "Ada"}'}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def findings(folder: Path) -> list[Finding]:
    templates = Templates(folder)
    return lint(templates, settings(templates=folder), templates.names())


def words(folder: Path, severity: str = "fault") -> str:
    return "\n".join(f"{each.file} {each.message}" for each in findings(folder) if each.severity == severity)


def test_a_template_without_faults_has_no_findings(folder: Path) -> None:
    assert findings(folder) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("a.subject.txt", None, "a has no subject"),
        ("a.txt", None, "a has no text part"),
        ("a.context.json", None, "has no example a.context.json"),
        ("a.context.json", "[]", "expected an object"),
        ("a.context.json", "{", "is no JSON"),
        ("a.context.json", "{}", "'name' is undefined"),
        ("a.html", "{% if %}", "line 1"),
        ("a.de.html", "{{ nmae }}", "a.de Template a.de.html asks for what"),
        ("a.subject.txt", "{{ '' }}", "gives an empty subject"),
        ("a.subject.txt", "one\ntwo", "gives several lines"),
        ("a.html", "<img src='{{ image('no.png') }}' alt=''>", "no.png, which can't be read"),
        ("a.html", "<img src='{{ image('../no.png') }}' alt=''>", "isn't a picture of the templates' folder"),
        ("a.html", "<img src='cid:x'>", "without alt"),
        ("a.html", "<img src='data:image/png;base64,x' alt=''>", "data: picture"),
        ("a.html", "<img src='logo.png' alt=''>", "which no mail program finds"),
        ("a.html", "<script>x</script>", "holds <script>"),
        ("a.html", "<iframe src='https://x.example'></iframe>", "holds <iframe>"),
        ("a.html", "<form></form>", "holds <form>"),
        ("a.html", "<link rel='stylesheet' href='x.css'>", "loads the style sheet 'x.css'"),
        ("a.html", "<p onclick='x()'>", "holds onclick"),
        ("a.html", "<a href='javascript:x()'>x</a>", "holds href='javascript:x()'"),
        ("a.html", "<a href='#'>x</a>", "a link that leads nowhere"),
        ("a.de.html", "<body><p style='display: none'>Hello</p></body>", "a.de.html gives a mail without a word"),
        ("a.de.txt", "{# nothing #}", "a.de.txt gives a mail without a word"),
        ("a.html", "<p>" + "x" * 103_000 + "</p>", "Gmail shows the first 102,000"),
    ],
)
def test_a_fault_is_found(folder: Path, file: str, text: str | None, expected: str) -> None:
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text, encoding="utf-8")
    assert expected in words(folder)


def test_a_huge_picture_is_found(folder: Path) -> None:
    (folder / "big.png").write_bytes(bytes(300_000))
    (folder / "a.html").write_text("<img src='{{ image('big.png') }}' alt='big'>")
    assert "big.png of 300,000 bytes in every mail" in words(folder)


def test_what_some_mail_programs_do_badly_is_advice(folder: Path) -> None:
    (folder / "a.html").write_text("<img src='https://x.example/a.png' alt='a'>")
    (folder / "a.subject.txt").write_text("x" * 90)
    assert words(folder) == ""
    assert "many mail programs ask first" in words(folder, "advice")
    assert "gives 90 characters" in words(folder, "advice")


def test_the_command_shows_faults_and_ends_with_1_where_there_are_some(folder: Path) -> None:
    good = CliRunner().invoke(app, ["email", "lint", "--templates", str(folder)])
    assert (good.exit_code, good.stderr) == (0, "1 template, no faults.\n")
    (folder / "a.txt").unlink()
    bad = CliRunner().invoke(app, ["email", "lint", "--templates", str(folder), "--json"])
    assert bad.exit_code == 1
    assert [found["severity"] for found in json.loads(bad.stdout)] == ["fault"]
    missing = CliRunner().invoke(app, ["email", "lint", "b", "--templates", str(folder)])
    assert missing.exit_code == 1
    assert "There are: a." in " ".join(missing.stderr.split())


def test_the_shipped_templates_have_no_findings() -> None:
    assert findings(TEMPLATES) == []


@pytest.mark.parametrize("name", ["welcome", "report-ready", "daily-summary"])
def test_a_shipped_template_says_in_german_what_it_says_in_english(name: str) -> None:
    templates, maker = Templates(TEMPLATES), ContentMaker(settings())
    pages = []
    for locale in ("en", "de"):
        context = json.dumps(example_context(templates, name, locale))
        content = maker.make(check_request(templated(name, context=context, locale=locale), settings()))
        assert content.html is not None
        pages.append(plain_text(content.html))
        for line in content.text.splitlines():
            # Figures, names and links: whatever isn't put in other words.
            for word in re.findall(r"https?://\S+|\d[\d.,]*\d", line):
                assert word in content.html, (locale, word)
    english, german = pages
    # As many paragraphs, and none of them left in the other language.
    blocks = [[block for block in page.split("\n\n") if block.strip()] for page in (english, german)]
    assert len(blocks[0]) == len(blocks[1])
    assert not {block for block in blocks[0] if re.search(r"[a-z]{4} [a-z]{2}", block)} & set(blocks[1])


def test_a_preview_is_files_that_stand_alone(tmp_path: Path) -> None:
    asked = ["email", "preview", "welcome", "--templates", str(TEMPLATES), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"welcome.html", "welcome.txt", "welcome.eml", "index.html"}
    assert "subject  Welcome to Tidemill, Ada" in shown.stdout
    assert read(files["welcome.eml"])["Subject"] == "Welcome to Tidemill, Ada"
    page = files["welcome.html"].decode()
    assert "cid:" not in page
    assert "data:image/png;base64," in page
    assert b"Welcome, Ada!" in files["welcome.txt"]


def test_a_locale_may_have_an_example_of_its_own(folder: Path) -> None:
    (folder / "a.de.txt").write_text("{{ gruss }}")
    assert "'gruss' is undefined" in words(folder)
    (folder / "a.de.context.json").write_text('{"name": "Ada", "gruss": "Moin"}', encoding="utf-8")
    assert findings(folder) == []
    asked = ["email", "preview", "a", "--text", "--templates", str(folder), "--locale"]
    assert CliRunner().invoke(app, [*asked, "de-AT"]).stdout == "Moin"
    assert CliRunner().invoke(app, [*asked, "fr"]).stdout == "Hello Ada"


def test_the_page_of_a_preview_shows_it_wide_narrow_and_dark_and_runs_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<script>alert(1)</script><p>{{ x }}</p>")
    (tmp_path / "a.txt").write_text("{{ x }}")
    (tmp_path / "a.subject.txt").write_text("{{ x }}")
    (tmp_path / "a.context.json").write_text(json.dumps({"x": "</pre><script>alert(2)</script>{{ text }}"}))
    CliRunner().invoke(app, ["email", "preview", "a", "--templates", str(tmp_path), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert len(re.findall(r'<iframe class="\w+" sandbox srcdoc=', page)) == 3
    assert page.count("{{ text }}") >= 2


def test_a_preview_in_another_language_or_of_a_context_that_isnt_enough(tmp_path: Path) -> None:
    german = CliRunner().invoke(
        app, ["email", "preview", "welcome", "--locale", "de", "--text", "--templates", str(TEMPLATES)]
    )
    assert german.stdout.startswith("Willkommen, Ada!\n")
    (tmp_path / "empty.json").write_text("{}")
    asked = ["email", "preview", "welcome", "--context", str(tmp_path / "empty.json"), "--templates", str(TEMPLATES)]
    failed = CliRunner().invoke(app, asked)
    assert failed.exit_code == 1
    assert "asks for what the context doesn't have" in " ".join(failed.stderr.split())
