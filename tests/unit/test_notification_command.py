"""`tidemill notification`: what a person sees, and what a program gets; secrets are shown once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from standardwebhooks import Webhook
from typer.testing import CliRunner, Result

from streams.notification.address import new_secret
from streams.notification.command import register
from tests.unit.notification_samples import NOON, Browser, books, notice

Command = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `tidemill notification ...` on a directory with one recipient, u-1."""
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(tmp_path))
    books(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)

    def command(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(
            app, ["notification", *arguments], input=answer, env={"COLUMNS": "200", "NO_COLOR": "1"}
        )

    return command


def added(found: Result) -> str:
    assert found.exit_code == 0, found.output
    return found.stderr.partition(":")[0]


def test_a_recipient_is_added_shown_changed_and_removed(run: Command) -> None:
    add = run("recipient", "add", "u-17", "--time-zone", "Europe/Berlin", "--quiet", "22:00-07:00", "--rate", "5")
    assert add.stderr == "u-17 added.\n"
    assert run("recipient", "add", "u-17", "--channels", "push, email").stderr == "u-17 changed.\n"
    shown = json.loads(run("recipient", "show", "u-17", "--json").stdout)
    assert (shown["channels"], shown["quiet"], shown["time_zone"]) == (["push", "email"], None, "UTC")
    assert [row["id"] for row in json.loads(run("recipient", "list", "--json").stdout)] == ["u-1", "u-17"]
    assert run("recipient", "remove", "u-17", "--dry-run").stderr == "u-17 with 0 addresses would be removed.\n"
    assert run("recipient", "remove", "u-17").stderr == "u-17 with 0 addresses removed.\n"
    gone = run("recipient", "show", "u-17")
    assert gone.exit_code != 0
    assert "no recipient 'u-17'" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recipient", "add", "u-2", "--time-zone", "Mars/Olympus"], "no time zone 'Mars/Olympus'"),
        (["recipient", "add", "u-2", "--quiet", "22-7"], "HH:MM-HH:MM"),
        (["recipient", "add", "u-2", "--rate", "0"], "from 1 to 10,000"),
        (["recipient", "add", "u-2", "--channels", "fax"], "no channel 'fax'"),
        (["recipient", "add", "a\nb"], "single line"),
        (["address", "add", "u-1", "fax", "1"], "no channel 'fax'"),
        (["address", "add", "u-9", "email", "ada@example.com"], "no recipient 'u-9'"),
        (["address", "add", "u-1", "webhook", "http://hooks.example/"], "must begin with https://"),
        (["address", "add", "u-1", "chat", "exec://rm"], "isn't among those that are allowed"),
        (["address", "remove", "nothing"], "no address 'nothing'"),
        (["address", "rotate", "nothing"], "no webhook 'nothing'"),
        (["send", "--to", "u-1", "--title", "", "--dry-run"], "title is empty"),
        (["send", "--to", "u-1", "--title", "x", "--channels", "fax", "--dry-run"], "must be one of push, chat"),
        (["send", "--to", "u-9", "--title", "x", "--dry-run"], "no recipient 'u-9'"),
    ],
)
def test_what_cant_be_is_refused_with_the_reason(run: Command, arguments: list[str], words: str) -> None:
    found = run(*arguments)
    assert found.exit_code != 0
    assert words in " ".join(found.stderr.split())
    assert "Traceback" not in found.output


def test_a_webhooks_secret_is_shown_once_and_a_new_one_signs_beside_it(run: Command) -> None:
    made = run("address", "add", "u-1", "webhook", "https://hooks.example/T0PSECRET")
    id, first = added(made), made.stdout.strip()
    Webhook(first)
    assert "T0PSECRET" not in made.output
    assert first not in run("recipient", "show", "u-1").output
    assert run("address", "rotate", id).stdout.strip() != first
    assert json.loads(run("recipient", "show", "u-1", "--json").stdout)["addresses"][0]["address"] == "hooks.example"
    assert run("address", "remove", id, "--dry-run").stderr == f"{id}: webhook hooks.example would be removed.\n"
    assert run("address", "remove", id).stderr == f"{id}: webhook hooks.example removed.\n"


def test_a_secret_of_ones_own_and_a_subscription_are_read_and_not_shown(run: Command, tmp_path: Path) -> None:
    secret = new_secret()
    (tmp_path / "secret").write_text(secret + "\n", encoding="utf-8")
    made = run("address", "add", "u-1", "webhook", "https://hooks.example/", "--secret-file", str(tmp_path / "secret"))
    added(made)
    assert secret not in made.output
    pushed = run("address", "add", "u-1", "push", "-", answer=Browser("https://push.example/T0PSECRET").subscription)
    added(pushed)
    assert "T0PSECRET" not in pushed.output
    assert "push.example" in run("recipient", "show", "u-1").stdout


def test_a_key_is_made_once_and_then_kept(run: Command, tmp_path: Path) -> None:
    first = run("keys", str(tmp_path / "vapid.pem"))
    assert "applicationServerKey: B" in first.stdout
    assert (tmp_path / "vapid.pem").stat().st_mode & 0o077 == 0
    again = run("keys", str(tmp_path / "vapid.pem"))
    assert again.stdout == first.stdout
    assert "stays as it is" in again.stderr


def test_what_waits_is_listed_with_what_for(run: Command, tmp_path: Path) -> None:
    assert run("waiting").stderr == "Nothing waits.\n"
    _, found = books(tmp_path)
    found.accept(notice("n-1", digest="comments"), NOON)
    (row,) = json.loads(run("waiting", "--json").stdout)
    assert (row["recipient"], row["waits_for"], row["notices"]) == ("u-1", "comments", 1)


def test_a_notice_can_be_checked_without_sending_it(run: Command) -> None:
    found = run("send", "--to", "u-1", "--title", "Disk full", "--urgency", "high", "--dry-run")
    assert (found.exit_code, found.stderr) == (0, "The notice can be sent; nothing was.\n")


def test_each_address_is_tried_and_what_it_says_is_shown(run: Command) -> None:
    run("address", "add", "u-1", "webhook", "https://127.0.0.1:9/T0PSECRET")
    run("address", "add", "u-1", "email", "ada@example.com")
    found = run("recipient", "test", "u-1", "--json")
    assert found.exit_code == 1
    assert [(row["channel"], row["result"]) for row in json.loads(found.stdout)] == [
        ("webhook", "refused"),
        ("email", "skipped"),
    ]
    assert "isn't a public address" in found.stdout
    assert "T0PSECRET" not in found.output
