"""The mailbox as a program: mails in by SMTP, out by HTTP, kept over a restart."""

from __future__ import annotations

import json
import re
import smtplib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Mailbox:
    """A running one."""

    def __init__(self, folder: Path, smtp_port: int, url: str) -> None:
        self.folder = folder
        self.smtp_port = smtp_port
        self.url = url

    def mails(self) -> list[dict[str, Any]]:
        with _direct.open(f"{self.url}/api/mails", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["mails"]
            return found


@contextmanager
def mailbox(folder: Path, *options: str) -> Iterator[Mailbox]:
    command = [sys.executable, "-W", "error", "-m", "tidemill.mailbox", "--folder", str(folder)]
    command += ["--smtp-port", "0", "--port", "0", *options]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+), shown at (http://127\.0\.0\.1:\d+)", program.stdout.readline())
        assert found, program.stderr.read() if program.stderr else ""
        yield Mailbox(folder, int(found[1]), found[2])
    finally:
        program.terminate()
        _, said = program.communicate(timeout=20)
    assert (program.returncode, said) == (0, "")


def test_mails_for_anybody_are_kept_and_shown_also_after_a_restart(tmp_path: Path) -> None:
    with mailbox(tmp_path) as box:
        with smtplib.SMTP("127.0.0.1", box.smtp_port, timeout=20) as client:
            client.login("anybody", "any password")
            client.sendmail("", ["ada@example.com", "hidden@example.com"], b"Subject: one\r\n\r\n.dot\r\n..two\r\n")
            client.sendmail(
                "jürgen@exämple.de", ["grüße@exämple.de"], "Subject: zwei ü\r\n\r\nx".encode(), ["SMTPUTF8"]
            )
        two, one = box.mails()
        assert (two["subject"], two["envelope"]["recipients"]) == ("zwei ü", ["grüße@exämple.de"])
        assert one["envelope"] == {"sender": "", "recipients": ["ada@example.com", "hidden@example.com"]}
        with _direct.open(f"{box.url}/mails/{one['id']}/source", timeout=10) as answer:
            assert answer.read() == b"Subject: one\r\n\r\n.dot\r\n..two\r\n"
    with mailbox(tmp_path, "--keep", "1") as box:
        assert [each["subject"] for each in box.mails()] == ["zwei ü"]


def test_a_mail_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    program = subprocess.Popen(
        [sys.executable, "-m", "tidemill.mailbox", "--folder", str(folder), "--smtp-port", "0", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", program.stdout.readline())
        assert found
        folder.rmdir()
        with smtplib.SMTP("127.0.0.1", int(found[1]), timeout=20) as client:
            with pytest.raises(smtplib.SMTPDataError) as caught:
                client.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\nx")
            assert caught.value.smtp_code == 452
    finally:
        program.terminate()
        _, said = program.communicate(timeout=20)
    assert "A mail can't be kept" in said


def test_a_port_that_is_taken_ends_it_with_the_reason_at_once(tmp_path: Path) -> None:
    with mailbox(tmp_path / "first") as box:
        command = [sys.executable, "-m", "tidemill.mailbox", "--folder", str(tmp_path / "second"), "--port", "0"]
        found = subprocess.run(
            [*command, "--smtp-port", str(box.smtp_port)], capture_output=True, text=True, timeout=20, check=False
        )
    assert found.returncode == 1
    assert "already in use" in found.stderr
    assert "Traceback" not in found.stderr
