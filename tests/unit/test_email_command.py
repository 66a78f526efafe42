"""`tidemill email send` without Kafka: what it refuses, what it would send, what it says of what became of a mail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from streams.email.command import _show, register
from streams.email.jobs import EmailJob
from tests.unit.email_samples import request
from tidemill.events import EmailSent, RefusedRecipient

app = typer.Typer()
register(app)


def send(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["email", "send", *arguments], env={"COLUMNS": "200"})


def words(result: Result) -> str:
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--to", "ada@example.com"), "neither a template nor a subject with a text or html"),
        (("--to", "ada", "--template", "welcome"), "'ada' is no mail address"),
        (("--to", "ada@example.com", "--template", "../x"), "is no name of one"),
        (("--to", "ada@example.com", "--template", "welcome", "--text", "x"), "can't be given beside a template"),
        (("--to", "a@b.c\nBcc: x@b.c", "--subject", "x", "--text", "x"), "holds control characters"),
        (("--to", "ada@example.com", "--subject", "x", "--text", "x", "--locale", "!"), "locale '!' isn't one"),
    ],
)
def test_what_any_worker_would_refuse_is_refused_at_once(arguments: tuple[str, ...], expected: str) -> None:
    # Without Kafka: this would fail otherwise if it were published.
    refused = send(*arguments)
    assert refused.exit_code == 1
    assert "The mail can't be made:" in words(refused)
    assert expected in words(refused)


def test_a_context_that_is_no_text_or_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "list.json").write_text("[1]")
    asked = ("--to", "ada@example.com", "--template", "welcome", "--context")
    assert "can't be read as UTF-8 text" in words(send(*asked, str(tmp_path / "binary.json")))
    assert "context is a JSON list, expected an object" in words(send(*asked, str(tmp_path / "list.json")))
    assert send(*asked, str(tmp_path / "none.json")).exit_code == 2


def test_a_dry_run_tells_who_would_get_it_and_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>Hello")
    asked = ("--to", "Ada <ada@example.com>", "--cc", "bob@example.com", "--bcc", "ada@example.com")
    more = ("--subject", "Hello", "--html", str(tmp_path / "a.html"), "--attach", "file:///x.pdf", "--dry-run")
    plain = send(*asked, *more)
    assert (plain.exit_code, plain.stdout) == (
        0,
        "would be sent to ada@example.com, bob@example.com; nothing was sent\n",
    )
    found = json.loads(send(*asked, *more, "--json").stdout)
    assert found["recipients"] == ["ada@example.com", "bob@example.com"]
    assert found["request"]["html"] == "<p>Hello"
    assert found["request"]["attachments"][0]["uri"] == "file:///x.pdf"


def test_without_an_answer_it_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    _show(EmailJob(request=request(), id="event-1"), 3, as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "no answer within 3 s; the request is event event-1." in said
    assert "`tidemill worker email` starts one" in said


def test_each_refused_recipient_is_shown_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    refused = [
        RefusedRecipient(address="bob@example.com", reason="server", code=550, answer="no [red]such[/] person"),
        RefusedRecipient(address="cy@example.com", reason="suppressed", answer="@example.com"),
    ]
    sent = EmailSent(message_id="m@example.com", accepted=[], refused=refused, bytes=0)
    _show(EmailJob(request=request(), id="event-1", seconds=0.1, result=sent), 3, as_json=False)
    said = capsys.readouterr().out
    assert "bob@example.com: 550 no [red]such[/] person\n" in said
    assert "cy@example.com: is suppressed by @example.com\n" in said
    assert "Message-ID <m@example.com>\n" in said
