"""Templates of files: what they are filled in with, which file is taken, and what neither they nor a context may do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from streams.email.content import ContentMaker
from streams.email.formats import locale_of
from streams.email.request import check_request
from streams.email.templates import Templates
from tests.unit.email_samples import TEMPLATES, settings, templated
from tidemill.errors import ConfigError, ObjectMissing, Reject, StoreError
from tidemill.events import EmailRequested


def folder(path: Path, **files: str) -> Templates:
    """A folder with files; `a__html` stands for `a.html`."""
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return Templates(path)


def text_of(templates: Templates, context: dict[str, Any] | None = None, locale: str | None = None) -> str:
    return (templates.render("a", context or {}, locale, subject="s").text or "").strip()


def html_of(templates: Templates, context: dict[str, Any] | None = None) -> str:
    return (templates.render("a", context or {}, None, subject="s").html or "").strip()


def test_values_are_escaped_in_html_and_not_in_text(tmp_path: Path) -> None:
    templates = folder(tmp_path, a__txt="{{ name }}", a__html="<b title='{{ name }}'>{{ name }}</b>")
    evil = "<script>\"'&"
    assert text_of(templates, {"name": evil}) == evil
    assert html_of(templates, {"name": evil}) == (
        "<b title='&lt;script&gt;&#34;&#39;&amp;'>&lt;script&gt;&#34;&#39;&amp;</b>"
    )


@pytest.mark.parametrize(
    "value", ["{{ 7 * 7 }}", "{% for x in range(9) %}x{% endfor %}", "{% include '/etc/passwd' %}", "{# x #}", "#{7*7}"]
)
def test_what_a_context_says_never_becomes_a_template(tmp_path: Path, value: str) -> None:
    templates = folder(tmp_path, a__txt="Hello {{ name }}", a__subject__txt="For {{ name }}")
    rendered = templates.render("a", {"name": value}, None, subject=None)
    assert (rendered.text, rendered.subject) == (f"Hello {value}", f"For {value}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ name.__init__.__globals__ }}",
        "{{ image.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ items.append(1) }}",
        "{{ range(10000000) | list }}",
        "{% include '../secret.txt' %}",
        "{% include '/etc/passwd' %}",
        "{{ image('../secret.png') }}",
        "{{ image('/etc/passwd') }}",
        "{{ image('http://example.com/a.png') }}",
    ],
)
def test_a_template_reaches_nothing_but_its_variables_and_its_folder(tmp_path: Path, template: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in").mkdir()
    with pytest.raises(Reject):
        text_of(folder(tmp_path / "in", a__txt=template), {"name": "x", "items": []})


def test_a_link_out_of_the_folder_shows_no_picture(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "logo.png").symlink_to(tmp_path / "secret.png")
    folder(inside, a__html="<img src='{{ image('logo.png') }}' alt=''>", a__subject__txt="s")
    asked = check_request(EmailRequested(to=["a@example.com"], template="a"), settings(templates=inside))
    with pytest.raises(StoreError, match="symbolic link"):
        ContentMaker(settings(templates=inside)).make(asked)


def test_a_picture_that_isnt_there_is_told_by_its_name(tmp_path: Path) -> None:
    folder(tmp_path, a__html="<img src='{{ image('logo.png') }}' alt=''>", a__subject__txt="s")
    asked = check_request(EmailRequested(to=["a@example.com"], template="a"), settings(templates=tmp_path))
    with pytest.raises(ObjectMissing, match=r"logo\.png"):
        ContentMaker(settings(templates=tmp_path)).make(asked)


@pytest.mark.parametrize(
    ("template", "context", "words"),
    [
        ("{{ nmae }}", {"name": "Ada"}, "'nmae' is undefined"),
        ("{{ user.name }}", {"user": {}}, "has no attribute 'name'"),
        ("{% if nmae %}x{% endif %}", {}, "'nmae' is undefined"),
        ("\n{{ name", {}, "line 2"),
        ("{{ name | nosuch }}", {"name": 1}, "nosuch"),
        ("{{ 1 / zero }}", {"zero": 0}, "ZeroDivisionError"),
        ("{{ name + 1 }}", {"name": "x"}, "TypeError"),
        ("{% extends '_layuot.txt' %}", {}, "needs '_layuot.txt'"),
        ("{{ name | money }}", {"name": "x"}, "needs a number, found 'x'"),
        ("{{ name | day }}", {"name": "soon"}, "needs a date"),
    ],
)
def test_a_fault_is_told_with_the_file_and_what_is_wrong(
    tmp_path: Path, template: str, context: dict[str, Any], words: str
) -> None:
    with pytest.raises(Reject) as caught:
        text_of(folder(tmp_path, a__txt=template), context)
    assert words in str(caught.value)


def test_the_nearest_language_is_taken_for_each_file_by_itself(tmp_path: Path) -> None:
    templates = folder(tmp_path, a__txt="plain", a__de__txt="deutsch", **{"a__pt-BR__txt": "brasil", "a__html": "page"})
    found = {
        locale: text_of(templates, locale=locale) for locale in (None, "de", "de-AT", "de_CH", "pt-BR", "pt", "fr")
    }
    assert found == {
        None: "plain",
        "de": "deutsch",
        "de-AT": "deutsch",
        "de_CH": "deutsch",
        "pt-BR": "brasil",
        "pt": "plain",
        "fr": "plain",
    }
    assert templates.render("a", {}, "de", subject="s").html == "page"
    assert templates.locales("a") == ["", "de", "pt-BR"]


def test_numbers_and_dates_are_written_in_the_recipients_language(tmp_path: Path) -> None:
    templates = folder(
        tmp_path,
        a__txt="{{ n | number }}|{{ n | money('EUR') }}|{{ s | percent }}|{{ d | day }}|{{ t | moment }}|{{ locale }}",
    )
    context = {"n": 1234.5, "s": 0.25, "d": "2026-11-24", "t": "2026-11-24T08:30:00+01:00"}
    english = text_of(templates, context).replace("\u00a0", " ")
    assert english == "1,234.5|€1,234.50|25%|November 24, 2026|Nov 24, 2026, 7:30 AM|en"
    german = text_of(templates, context, "de").replace("\u00a0", " ")
    assert german == "1.234,5|1.234,50 €|25 %|24. November 2026|24.11.2026, 07:30|de"


@pytest.mark.parametrize(
    ("bytes_", "expected"),
    [
        (0, "0 B"),
        (-5, "0 B"),
        (999, "999 B"),
        (999.96, "1 kB"),
        (841_600, "842 kB"),
        (999_999, "1 MB"),
        (5_210_000, "5.2 MB"),
        (123_400_000, "123 MB"),
        (7.25e12, "7.2 TB"),
        (4e15, "4,000 TB"),
    ],
)
def test_sizes_are_written_as_people_read_them(tmp_path: Path, bytes_: float, expected: str) -> None:
    templates = folder(tmp_path, a__txt="{{ n | size }}")
    assert text_of(templates, {"n": bytes_}).replace("\u00a0", " ") == expected


def test_a_locale_that_isnt_known_is_refused_and_a_region_that_isnt_falls_back() -> None:
    assert locale_of("de-ZZ").language == "de"
    with pytest.raises(Reject, match="locale 'qqq' isn't known"):
        locale_of("qqq")


def test_a_changed_template_is_used_and_so_is_a_new_one(tmp_path: Path) -> None:
    templates = folder(tmp_path, a__txt="old", _layout__txt="{% block x %}{% endblock %}")
    assert text_of(templates) == "old"
    (tmp_path / "a.txt").write_text("new")
    os.utime(tmp_path / "a.txt", (1, 1))
    assert text_of(templates) == "new"
    (tmp_path / "a.de.txt").write_text("neu")
    os.utime(tmp_path, (1, 1))
    assert text_of(templates, locale="de") == "neu"


def test_layouts_are_no_templates_and_an_unknown_one_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    templates = folder(tmp_path, a__txt="x", b__html="x", _layout__html="x", notes__md="x")
    assert templates.names() == ["a", "b"]
    with pytest.raises(Reject, match=r"no template 'c'.*There are: a, b\."):
        templates.files("c", None)


def test_a_folder_that_isnt_there_is_a_matter_of_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TIDEMILL_EMAIL_TEMPLATES"):
        Templates(tmp_path / "nowhere")


@pytest.mark.parametrize("value", ["A\nBcc: eve@example.com", "A\r\n\r\n<html>", "A\x00", "A\u2028B"])
def test_a_value_in_a_subject_cant_begin_another_header(tmp_path: Path, value: str) -> None:
    folder(tmp_path, a__txt="x", a__subject__txt="For {{ name }}\n")
    asked = check_request(
        EmailRequested(to=["a@example.com"], template="a", context=json.dumps({"name": value})),
        settings(templates=tmp_path),
    )
    with pytest.raises(Reject, match=r"subject .* must be a single line"):
        ContentMaker(settings(templates=tmp_path)).make(asked)


def test_a_mail_that_grows_too_large_or_has_no_subject_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, a__txt="{% for x in range(900) %}xxxxxxxxxx{% endfor %}", a__subject__txt="s", b__txt="x")
    (tmp_path / "c.txt").write_text("x")
    (tmp_path / "c.subject.txt").write_text("{# nothing #}\n")
    maker = ContentMaker(found := settings(templates=tmp_path, max_body_bytes=1000))
    for name, words in (("a", "more than 1,000 bytes"), ("b", "has no subject"), ("c", "subject is empty")):
        with pytest.raises(Reject, match=words):
            maker.make(check_request(EmailRequested(to=["a@example.com"], template=name), found))


def test_rules_of_style_sheets_end_up_at_the_elements_and_media_queries_stay() -> None:
    html = ContentMaker(settings()).make(check_request(templated(), settings())).html
    assert html is not None
    assert 'style="' in html
    assert "prefers-color-scheme: dark" in html
    assert ".content {" not in html.partition("@media")[0]


def test_a_style_sheet_of_the_network_or_of_this_machine_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("p { color: red }")
    page = (
        f"<html><head><link rel=stylesheet href='file://{tmp_path}/x.css'><link rel=stylesheet href='http://127.0.0.1:9/'>"
        "<style>b{color:blue}</style></head><body><p>x</p><b>y</b></body></html>"
    )
    html = (
        ContentMaker(settings())
        .make(check_request(EmailRequested(to=["a@b.example"], subject="s", html=page), settings()))
        .html
    )
    assert html is not None
    assert "red" not in html
    assert "blue" in html


@pytest.mark.parametrize("name", sorted(Templates(TEMPLATES).names()))
def test_the_shipped_templates_can_be_made_in_every_language_they_have(name: str) -> None:
    maker = ContentMaker(settings())
    for locale in Templates(TEMPLATES).locales(name):
        content = maker.make(check_request(templated(name, locale=locale or None), settings()))
        assert content.html is not None
        assert len(content.pictures) == 1
