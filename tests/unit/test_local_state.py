"""The state folder: what is recorded, what is stale, and one command at a time."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from streams.email.settings import load_email_settings
from tidemill.config import Settings, load_settings
from tidemill.errors import LocalError
from tidemill.local import Stack, clean_up, mailbox, record, state_folder, wipe
from tidemill.local.layout import Layout
from tidemill.local.program import Program, Running, marks
from tidemill.local.progress import Silent


@pytest.fixture(autouse=True)
def no_addresses_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ("TIDEMILL_BOOTSTRAP_SERVERS", "TIDEMILL_REGISTRY_URL", "TIDEMILL_STATE_DIR")
    for name in (*stack, "TIDEMILL_EMAIL_HOST", "TIDEMILL_EMAIL_PORT"):
        monkeypatch.delenv(name, raising=False)


def settings_in(folder: Path) -> Settings:
    return load_settings(state_dir=folder)


def stack_record(folder: Path, pid: int, stack_id: str = "abc", registry_url: str | None = None) -> record.StackRecord:
    broker = record.ProgramRecord("kafka-1", "Kafka broker 1", pid, 20001, str(folder / "kafka-1.log"), 1.0)
    return record.StackRecord(stack_id, "4.3.1", 1.0, True, "127.0.0.1:20001", registry_url, (broker,))


def test_a_record_written_is_read_back(tmp_path: Path) -> None:
    written = stack_record(tmp_path, 1, registry_url="http://127.0.0.1:1/apis/ccompat/v7")
    record.write(tmp_path / "stack.json", written)
    assert record.read(tmp_path / "stack.json") == written


def test_other_commands_take_their_addresses_from_the_record(tmp_path: Path) -> None:
    record.write(tmp_path / "stack.json", stack_record(tmp_path, 1, registry_url="http://127.0.0.1:20002/x"))
    settings = settings_in(tmp_path)
    assert settings.bootstrap_servers == "127.0.0.1:20001"
    assert settings.registry_url == "http://127.0.0.1:20002/x"


def test_a_stack_without_a_registry_leaves_the_configured_address_alone(tmp_path: Path) -> None:
    record.write(tmp_path / "stack.json", stack_record(tmp_path, 1))
    assert settings_in(tmp_path).registry_url == Settings.model_fields["registry_url"].default


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stack_id": "abc"}', '{"programs": 3}', "null"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / "stack.json").write_text(damage)
    assert record.read(tmp_path / "stack.json") is None


def test_a_record_whose_processes_are_gone_is_stale_and_removed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    Layout(tmp_path).lock_file.touch()
    # This very process has the recorded number, but not the mark: so it is after a reboot.
    record.write(tmp_path / "stack.json", stack_record(tmp_path, os.getpid()))
    assert Stack.find(settings) is None
    clean_up(settings)
    assert not (tmp_path / "stack.json").exists()


def test_a_program_that_no_record_names_is_ended(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)", *marks("abc", tmp_path))
    running = Running.start(Program("kafka-1", "Kafka", command, tmp_path / "log", 0), "abc", detached=False)
    Layout(tmp_path).lock_file.touch()
    # While one program takes the place of another one, a process has no command line for a moment.
    deadline = time.monotonic() + 30
    while psutil.Process(running.pid).cmdline()[1:] != [*command[1:]] and time.monotonic() < deadline:
        time.sleep(0.01)
    clean_up(settings_in(tmp_path))
    assert not running.is_alive


def test_nothing_is_cleaned_while_another_command_is_at_work(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    record.write(layout.stack_file, stack_record(tmp_path, 0))
    with FileLock(layout.lock_file):
        clean_up(settings_in(tmp_path))
    assert layout.stack_file.exists()


def test_a_second_command_waits_and_says_so(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    stages: list[str] = []
    waiting = threading.Event()

    class Heard(Silent):
        def stage(self, text: str) -> None:
            stages.append(text)
            waiting.set()

    first = FileLock(layout.lock_file, thread_local=False)
    first.acquire()

    def release_when_heard() -> None:
        waiting.wait(10)
        first.release()

    other = threading.Thread(target=release_when_heard)
    other.start()
    with state_folder.exclusive(layout, Heard()):
        pass
    other.join()
    assert stages == ["Waiting for another command that is starting or stopping the stack"]


def test_a_command_that_holds_the_folder_too_long_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "LOCK_SECONDS", 0.1)
    layout = Layout(tmp_path)
    with (
        FileLock(layout.lock_file),
        pytest.raises(LocalError, match=r"Another command .* for 0\.1 s.*stack\.lock"),
        state_folder.exclusive(layout, Silent()),
    ):
        pass


def test_data_of_another_number_of_brokers_is_refused_with_the_way_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    record.write_cluster(layout.cluster_file, record.ClusterRecord("id", 3, "4.3.1"))
    with pytest.raises(LocalError, match=r"3 broker\(s\), 1 asked for.*up --brokers 3.*down --wipe"):
        state_folder.require_brokers(layout, 1)
    state_folder.require_brokers(layout, 3)


def test_a_damaged_cluster_file_is_a_clear_error(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.cluster_file.parent.mkdir()
    layout.cluster_file.write_text("{}")
    with pytest.raises(LocalError, match=r"cluster\.json can't be understood.*down --wipe"):
        state_folder.require_brokers(layout, 1)


def test_wiping_deletes_topics_and_schemas_and_keeps_the_objects(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for path in (layout.broker_data(1) / "log", layout.registry_database, tmp_path / "objects" / "photo.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10_000)
    assert state_folder.disk_bytes(layout) >= 20_000
    wipe(settings_in(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "stack.lock"]
    assert state_folder.disk_bytes(layout) == 0


@pytest.mark.parametrize("name", ["with,comma", "with;semicolon", "with:colon"])
def test_a_folder_that_java_cannot_take_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalError, match=f"{name} has one of , ; : in its name.*TIDEMILL_STATE_DIR"):
        state_folder.prepare(settings_in(tmp_path / name))


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "file" / "state")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LocalError, match=r"The state folder .*/file/state can't be made"):
        state_folder.prepare(settings)


def test_an_impossible_number_of_brokers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="0 brokers were asked for, expected 1 to 9"):
        Stack.start(settings_in(tmp_path), brokers=0)


def test_readers_never_see_half_a_record(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    record.write(path, stack_record(tmp_path, 1))
    assert json.loads(path.read_text())["bootstrap_servers"] == "127.0.0.1:20001"
    assert list(tmp_path.iterdir()) == [path]


def with_mailbox(folder: Path) -> record.StackRecord:
    return replace(stack_record(folder, 1), smtp_address="127.0.0.1:20025", mailbox_url="http://127.0.0.1:20026")


def test_the_mailbox_of_a_running_stack_is_known_by_its_addresses(tmp_path: Path) -> None:
    record.write(tmp_path / "stack.json", with_mailbox(tmp_path))
    found = record.read(tmp_path / "stack.json")
    assert found == with_mailbox(tmp_path)
    assert mailbox.ports_of(found) == mailbox.MailboxPorts(smtp=20025, page=20026)
    assert mailbox.ports_of(stack_record(tmp_path, 1)) is None


def test_mails_go_to_the_stacks_mailbox_unless_a_relay_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record.write(tmp_path / "stack.json", with_mailbox(tmp_path))
    stack = settings_in(tmp_path)
    assert load_email_settings(stack).relay == "127.0.0.1:20025"
    monkeypatch.setenv("TIDEMILL_EMAIL_HOST", "mx.example.com")
    assert load_email_settings(stack).relay == "mx.example.com:1025"
    monkeypatch.delenv("TIDEMILL_EMAIL_HOST")
    monkeypatch.setenv("TIDEMILL_EMAIL_PORT", "2525")
    assert load_email_settings(stack).relay == "127.0.0.1:2525"


def test_without_a_mailbox_mails_go_where_one_usually_is(tmp_path: Path) -> None:
    assert load_email_settings(settings_in(tmp_path)).relay == "127.0.0.1:1025"
    record.write(tmp_path / "stack.json", stack_record(tmp_path, 1))
    assert load_email_settings(settings_in(tmp_path)).relay == "127.0.0.1:1025"
