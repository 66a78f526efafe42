"""`tidemill archive`: what its words mean, and what is said of those that make no sense."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumers.archive.command import app
from consumers.archive.reading import Waiting, endangered
from consumers.archive.scratch import LOCK, YOUNG_SECONDS, scratch
from consumers.archive.settings import load_archive_settings
from tidemill.config import load_settings
from tidemill.errors import ConfigError
from tidemill.replay.ranges import Plan, Range


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Topics into Parquet files"),
        (["--help"], "tidemill archive image.processed email.sent --every 30s"),
        (["run", "--help"], "a topic whose name is that of a command"),
        (["--once"], "Name topics, or give --all."),
        (["image.processed", "--all"], "Name topics or give --all, not both."),
        (["image.processed", "--every", "5"], "Write a whole number and a unit"),
        (["--all", "--every", "forever"], "give a time, or --once"),
        (["compact"], "Name topics, or give --all."),
    ],
)
def test_what_is_asked_for_is_answered_or_explained(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert said in result.output
    assert result.exit_code == (0 if "--help" in arguments else 2)


def test_an_archive_without_anything_says_so(tmp_path: Path) -> None:
    environment = {"TIDEMILL_STATE_DIR": str(tmp_path), "COLUMNS": "200"}
    for command in ("status", "verify"):
        result = CliRunner().invoke(app, [command], env=environment)
        assert "Nothing is archived in file:///" in result.stderr
        assert result.exit_code == 0
    result = CliRunner().invoke(app, ["compact", "image.processed", "--dry-run"], env=environment)
    assert "Nothing is archived of topic 'image.processed'" in result.stderr
    assert result.exit_code == 1


def test_an_archive_that_cannot_be_is_named_by_its_own_setting() -> None:
    result = CliRunner().invoke(app, ["status"], env={"TIDEMILL_ARCHIVE_URL": "ftp://x", "COLUMNS": "200"})
    assert "Setting 'archive_url' can't be used: URI 'ftp://x' has the scheme 'ftp'" in result.stderr
    assert "Set TIDEMILL_ARCHIVE_URL to a place such as" in result.stderr


def test_settings_that_make_no_sense_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_ARCHIVE_WARN_SHARE", "2")
    with pytest.raises(ConfigError, match=r"TIDEMILL_ARCHIVE_WARN_SHARE: .* less than 1, found '2'"):
        load_archive_settings()


def test_the_archive_lies_in_the_store_or_where_it_is_told_to(tmp_path: Path) -> None:
    assert load_settings(state_dir=tmp_path).archive_store == f"{tmp_path.as_uri()}/objects/archive"
    assert load_settings(store_url="s3://bucket/").archive_store == "s3://bucket/archive"
    assert load_settings(archive_url="gs://lake").archive_store == "gs://lake"


def test_scratch_folders_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / LOCK).touch()
    with scratch(tmp_path) as one:
        assert dead.exists(), "it is young: somebody may be about to lock it"
        for folder in (dead, one):
            old = time.time() - YOUNG_SECONDS - 1
            os.utime(folder, (old, old))
        with scratch(tmp_path) as other:
            assert not dead.exists()
            assert one.exists()
            assert one != other
    assert [*tmp_path.iterdir()] == []


def test_a_scratch_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file can't be written"), scratch(tmp_path / "file"):
        pass


def waits(start: int, end: int, *, low: int = 0) -> Waiting:
    plan = Plan("step.asked", "id", 1, (Range(0, start, end),), (), {0: start})
    return Waiting("step.asked", plan, {0: start}, frozenset(), (), {0: low}, False, {})


def ago_ms(span: timedelta) -> int:
    return round((time.time() - span.total_seconds()) * 1000)


def test_an_unread_event_is_in_danger_from_a_share_of_the_retention_on() -> None:
    found, day = waits(5, 9), timedelta(days=1)
    assert endangered(found, {0: ago_ms(timedelta(hours=11))}, day, 0.5) == {}
    assert endangered(found, {0: ago_ms(timedelta(hours=18))}, day, 0.5) == {
        0: "unread since 18.0 h, deleted in 6.0 h or sooner"
    }
    assert endangered(found, {0: ago_ms(timedelta(days=9))}, day, 0.5) == {
        0: "unread since 216.0 h, deleted in 0 min or sooner"
    }
    assert endangered(found, {}, day, 0.5) == {}
    assert endangered(found, {0: -(1 << 62)}, day, 0.5).keys() == {0}


def test_with_retention_by_size_the_beginning_of_the_topic_is_in_danger() -> None:
    assert endangered(waits(100, 1000, low=100), {}, None, 0.5).keys() == {0}
    assert endangered(waits(900, 1000, low=100), {}, None, 0.5) == {}
    assert endangered(waits(0, 1000), {}, None, 0.5) == {}, "nothing was deleted yet"
