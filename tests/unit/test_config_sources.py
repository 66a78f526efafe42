"""Settings: where they come from, which of them wins, and what is said of one that can't be used."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tidemill import ConfigError, load_settings


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables, no tidemill.toml and no local stack but those that a test makes."""
    for name in list(os.environ):
        if name.startswith("TIDEMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)


def stack_is_up(folder: Path) -> None:
    folder.mkdir(parents=True)
    addresses = {"bootstrap_servers": "127.0.0.1:1111", "registry_url": "http://127.0.0.1:2222/apis/ccompat/v7"}
    (folder / "stack.json").write_text(json.dumps({**addresses, "programs": []}))


def test_with_nothing_set_they_mean_the_local_stack() -> None:
    settings = load_settings()
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.registry_url == "http://127.0.0.1:8081/apis/ccompat/v7"


def test_a_running_local_stack_tells_its_addresses(tmp_path: Path) -> None:
    stack_is_up(tmp_path / "xdg" / "tidemill")
    settings = load_settings()
    assert settings.bootstrap_servers == "127.0.0.1:1111"
    assert settings.registry_url == "http://127.0.0.1:2222/apis/ccompat/v7"


def test_arguments_win_over_the_environment_over_the_file_over_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack_is_up(tmp_path / "xdg" / "tidemill")
    Path("tidemill.toml").write_text('bootstrap_servers = "file:1"\nnamespace = "file."\nsource = "/file"\n')
    monkeypatch.setenv("TIDEMILL_NAMESPACE", "environment.")
    monkeypatch.setenv("TIDEMILL_SOURCE", "/environment")
    settings = load_settings(source="/argument")
    assert settings.source == "/argument"
    assert settings.namespace == "environment."
    assert settings.bootstrap_servers == "file:1"
    assert settings.registry_url == "http://127.0.0.1:2222/apis/ccompat/v7"


def test_the_stack_of_another_state_folder_is_found_through_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack_is_up(tmp_path / "other")
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(tmp_path / "other"))
    assert load_settings().bootstrap_servers == "127.0.0.1:1111"


def test_every_setting_that_can_not_be_used_is_named_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_LINGER_MS", "soon")
    monkeypatch.setenv("TIDEMILL_COMPRESSION", "zip")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "linger_ms" in str(caught.value)
    assert "found 'soon'" in str(caught.value)
    assert "compression" in str(caught.value)
    assert "found 'zip'" in str(caught.value)
    assert caught.value.hint == "Look at the TIDEMILL_* variables of the environment and at tidemill.toml."


def test_a_namespace_that_kafka_would_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="namespace"):
        load_settings(namespace="my staging/")


def test_a_damaged_record_of_the_stack_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "xdg" / "tidemill").mkdir(parents=True)
    (tmp_path / "xdg" / "tidemill" / "stack.json").write_text("{")
    with pytest.raises(ConfigError, match=r"stack\.json can't be read.*Run `tidemill down`, then `tidemill up`\."):
        load_settings()


def test_passwords_are_not_shown() -> None:
    settings = load_settings(sasl_password="hunter2", registry_password="hunter3")
    assert "hunter" not in repr(settings)


def test_names_get_the_namespace() -> None:
    assert load_settings(namespace="staging.").qualified("image.requested") == "staging.image.requested"


def test_the_object_store_is_a_folder_of_the_state_unless_it_is_set(tmp_path: Path) -> None:
    assert load_settings().object_store == (tmp_path / "xdg" / "tidemill" / "objects").as_uri()
    assert load_settings(store_url="s3://bucket/results").object_store == "s3://bucket/results"
