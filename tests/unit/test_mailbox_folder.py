"""Mails as files: the newest are kept, whatever an earlier program left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tidemill.mailbox.envelope import opened
from tidemill.mailbox.folder import MailFolder


def added(mails: MailFolder, *texts: str) -> list[str]:
    return [mails.add("a@example.com", ["b@example.com"], text.encode()) for text in texts]


def said(mails: MailFolder) -> list[str]:
    return [opened(mails.read(id) or b"")[1].decode() for id in mails.ids()]


def test_the_newest_mails_are_kept_and_the_oldest_go(tmp_path: Path) -> None:
    mails = MailFolder(tmp_path, most_mails=3)
    added(mails, *"abcde")
    assert said(mails) == ["e", "d", "c"]
    assert len(list(tmp_path.iterdir())) == 3


def test_large_mails_push_older_ones_out_but_the_newest_stays(tmp_path: Path) -> None:
    mails = MailFolder(tmp_path, most_bytes=1_000)
    added(mails, "small", "small too", "x" * 5_000)
    assert said(mails) == ["x" * 5_000]


def test_a_folder_is_taken_over_with_what_is_in_it_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    first = MailFolder(tmp_path)
    ids = added(first, *"ab")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"{ids[0]}.eml.new").write_bytes(b"half")
    second = MailFolder(tmp_path, most_mails=2)
    assert second.ids() == ids[::-1]
    added(second, "c")
    assert said(second) == ["c", "b"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.new"))


def test_a_clock_that_is_set_back_puts_no_new_mail_below_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = MailFolder(tmp_path)
    added(mails, "a")
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    added(mails, "b")
    assert said(mails) == ["b", "a"]
    assert said(MailFolder(tmp_path)) == ["b", "a"]


@pytest.mark.parametrize("id", ["../secret", "", "0000000000000-000000", "/etc/passwd"])
def test_only_known_ids_are_read_or_deleted(tmp_path: Path, id: str) -> None:
    (tmp_path / "secret.eml").write_text("secret")
    mails = MailFolder(tmp_path / "mails")
    assert mails.read(id) is None
    assert mails.delete(id) is False
    assert (tmp_path / "secret.eml").exists()


def test_a_mail_whose_file_somebody_took_away_is_not_there(tmp_path: Path) -> None:
    mails = MailFolder(tmp_path)
    (id,) = added(mails, "a")
    (tmp_path / f"{id}.eml").unlink()
    assert mails.read(id) is None
    assert mails.delete(id) is True
    assert len(mails) == 0


def test_a_mail_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    mails = MailFolder(tmp_path / "mails")
    (tmp_path / "mails").rmdir()
    with pytest.raises(OSError, match="mails"):
        added(mails, "a")
    assert mails.ids() == []
