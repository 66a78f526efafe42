"""The local stack, really started: what a user of `tidemill.local` and of `tidemill up` sees."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tidemill.config import Settings, load_settings
from tidemill.errors import LocalError
from tidemill.local import Stack, program

pytestmark = pytest.mark.skipif(
    os.environ.get("TIDEMILL_TEST_BROKER") == "docker", reason="this machine has no Java programs to start"
)

COMMANDS = """
import typer
from tidemill.cli import up
app = typer.Typer()
for command in (up.up, up.down, up.status):
    app.command()(command)
app()
"""


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a stack of this test's own; commands started by the test get the same folder."""
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(tmp_path / "state"))
    return load_settings()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    left = list(program.with_state_mark(tmp_path / "state"))
    for pid in left:
        program.kill_marked(pid, tmp_path / "state")
    assert not left


def kafka_alone(settings: Settings, **options: object) -> Stack:
    return Stack.start(settings, kafka_port=0, with_registry=False, **options)  # type: ignore[arg-type]


def create_topic(bootstrap: str, name: str, replicas: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=replicas)])[name].result(20)


def publish(bootstrap: str, topic: str, value: str, timeout_ms: int = 30_000) -> None:
    failures: list[object] = []

    def delivered(error: object, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": timeout_ms, "log_level": 0}
    )
    producer.produce(topic, value, on_delivery=delivered)
    assert producer.flush(60) == 0
    if failures:
        raise KafkaException(failures[0])


def values(bootstrap: str, topic: str, count: int) -> list[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(count, timeout=30)
        return [(message.value() or b"").decode() for message in messages]
    finally:
        consumer.close()


def register_schema(registry_url: str, subject: str) -> int:
    body = json.dumps({"schema": '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}'}).encode()
    request = urllib.request.Request(
        f"{registry_url}/subjects/{subject}/versions",
        data=body,
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    schema_id = ask(request)["id"]
    assert isinstance(schema_id, int)
    return schema_id


def ask(request: urllib.request.Request | str) -> dict[str, object]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as response:
        answer: dict[str, object] = json.load(response)
        return answer


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMANDS, *arguments], capture_output=True, text=True, timeout=120
    )


def _heed_ctrl_c() -> None:
    # A shell that runs the tests in its background has them ignore Ctrl-C, and what they start would, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def in_the_foreground(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`tidemill up`, running, once it is up."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMANDS, "up", "--any-port", "--no-registry", "--no-mailbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )
    try:
        assert process.stderr is not None
        said = ""
        # Not until there is a stack.json: for a moment after that, the command is not yet what a signal should stop.
        while "Ctrl-C stops it." not in said:
            line = process.stderr.readline()
            assert line, f"it ended with {process.wait()}:\n{said}"
            said += line
        assert (settings.state_dir / "stack.json").exists()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_topics_and_schemas_survive_a_restart_and_stopping_leaves_no_process(own_settings: Settings) -> None:
    with Stack.start(own_settings, kafka_port=0, registry_port=0) as stack:
        pids = [each.pid for each in stack.programs]
        assert load_settings().bootstrap_servers == stack.bootstrap_servers
        assert stack.registry_url is not None
        assert load_settings().registry_url == stack.registry_url
        create_topic(stack.bootstrap_servers, "kept")
        publish(stack.bootstrap_servers, "kept", "before the restart")
        schema_id = register_schema(stack.registry_url, "kept-value")
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not (own_settings.state_dir / "stack.json").exists()

    with Stack.start(own_settings, kafka_port=0, registry_port=0) as stack:
        assert values(stack.bootstrap_servers, "kept", 1) == ["before the restart"]
        assert ask(f"{stack.registry_url}/subjects/kept-value/versions/latest")["id"] == schema_id

    stack.stop(wipe=True)
    assert not (own_settings.state_dir / "kafka").exists()
    assert not (own_settings.state_dir / "registry").exists()


def test_a_taken_port_is_named_with_its_holder_and_the_option_to_choose_another(own_settings: Settings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        answer = run("up", "--kafka-port", str(port), "--registry-port", "0")
    assert answer.returncode == 1
    said = " ".join(answer.stderr.split())
    assert f"Port {port} on 127.0.0.1, wanted by Kafka, is taken by" in said
    assert f"(pid {os.getpid()})" in said
    assert "--kafka-port PORT" in said


def test_a_broker_that_dies_while_starting_tells_why_and_leaves_nothing(own_settings: Settings) -> None:
    with pytest.raises(LocalError) as caught:
        kafka_alone(own_settings, kafka_settings={"num.io.threads": "none"})
    assert "ended with exit status 1" in caught.value.message
    assert "num.io.threads" in caught.value.message
    assert str(own_settings.state_dir / "logs") in (caught.value.hint or "")
    assert not (own_settings.state_dir / "stack.json").exists()
    assert list(program.with_state_mark(own_settings.state_dir)) == []


def test_a_damaged_record_is_mended_by_down(own_settings: Settings) -> None:
    own_settings.state_dir.mkdir()
    (own_settings.state_dir / "stack.json").write_text("{ half")
    answer = run("up")
    assert answer.returncode == 1
    assert "Run `tidemill down`" in answer.stderr
    assert run("down").returncode == 0
    assert not (own_settings.state_dir / "stack.json").exists()


def test_a_state_folder_that_cannot_be_written_is_a_clear_error(own_settings: Settings) -> None:
    own_settings.state_dir.mkdir()
    (own_settings.state_dir / "logs").write_text("a file where a folder is needed")
    with pytest.raises(LocalError, match=r"The state folder .*/state can't be written: .*logs.*TIDEMILL_STATE_DIR"):
        kafka_alone(own_settings)


def test_a_disk_that_is_full_when_all_is_up_leaves_no_process(own_settings: Settings) -> None:
    (own_settings.state_dir / "stack.json.new").mkdir(parents=True)  # where the record is drafted
    with pytest.raises(LocalError, match=r"stack\.json can't be written.*Make room"):
        kafka_alone(own_settings)
    assert list(program.with_state_mark(own_settings.state_dir)) == []


def test_up_detached_then_up_again_then_down(own_settings: Settings) -> None:
    assert run("status").returncode == 3
    first = run("up", "--detach", "--any-port", "--no-registry")
    assert first.returncode == 0, first.stderr
    described = json.loads(run("status", "--json").stdout)
    assert described["up"]
    assert described["bootstrap_servers"] in first.stdout
    assert [(each["name"], each["state"]) for each in described["programs"]] == [
        ("kafka-1", "running"),
        ("mailbox", "running"),
    ]
    assert described["programs"][0]["memory_bytes"] > 50e6
    host, _, port = described["smtp_address"].rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=20) as client:
        client.sendmail("a@example.com", ["ada@example.com"], b"Subject: Hello\r\n\r\nIt works.\r\n")
    assert described["mailbox_url"] in first.stdout
    (mail,) = cast(list[dict[str, object]], ask(f"{described['mailbox_url']}/api/mails")["mails"])
    assert mail["subject"] == "Hello"

    without = run("up")
    assert without.returncode == 1
    assert "up without a schema registry" in without.stderr
    second = run("up", "--no-registry")
    assert second.returncode == 0
    assert "up already" in second.stderr
    assert described["bootstrap_servers"] in second.stdout

    stopped = run("down")
    assert stopped.returncode == 0
    assert list(program.with_state_mark(own_settings.state_dir)) == []
    again = run("down")
    assert again.returncode == 0
    assert "not up" in again.stderr
    assert run("down", "--wipe", "--yes").returncode == 0
    assert not (own_settings.state_dir / "kafka").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything(own_settings: Settings, number: signal.Signals) -> None:
    with in_the_foreground(own_settings) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in said
    assert list(program.with_state_mark(own_settings.state_dir)) == []
    assert not (own_settings.state_dir / "stack.json").exists()


def test_a_broker_killed_under_up_ends_it_with_the_reason_and_nothing_left(own_settings: Settings) -> None:
    with in_the_foreground(own_settings) as process:
        [pid] = program.with_state_mark(own_settings.state_dir)
        os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Kafka broker 1 was killed by SIGKILL" in said
    assert "kafka-1.log" in said.replace("\n", "")  # a narrow terminal wraps it
    assert not (own_settings.state_dir / "stack.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_killing_up_itself_leaves_no_broker_and_the_stale_record_is_cleaned(own_settings: Settings) -> None:
    with in_the_foreground(own_settings) as process:
        process.kill()
        process.wait(10)
    eventually(lambda: list(program.with_state_mark(own_settings.state_dir)) == [], "the broker is gone")
    assert (own_settings.state_dir / "stack.json").exists()
    assert run("status").returncode == 3
    assert not (own_settings.state_dir / "stack.json").exists()


def test_a_broker_paused_answers_again_and_one_killed_comes_back_with_its_data(own_settings: Settings) -> None:
    with kafka_alone(own_settings) as stack:
        create_topic(stack.bootstrap_servers, "t")
        broker = stack.broker(1)
        broker.pause()
        with pytest.raises(KafkaException):
            publish(stack.bootstrap_servers, "t", "into the void", timeout_ms=1_000)
        broker.resume()
        publish(stack.bootstrap_servers, "t", "after the pause")

        old_pid = broker.pid
        broker.kill()
        assert not broker.is_alive
        broker.start()
        assert broker.pid != old_pid
        found = Stack.find(own_settings)
        assert found is not None
        assert found.broker(1).pid == broker.pid
        assert "after the pause" in values(stack.bootstrap_servers, "t", 1)
        with pytest.raises(LocalError, match="runs already"):
            broker.start()
        with pytest.raises(LocalError, match="There is no broker 2, only 1"):
            stack.broker(2)


def test_three_brokers_take_events_with_one_killed(own_settings: Settings) -> None:
    with Stack.start(own_settings, brokers=3, kafka_port=0, with_registry=False) as stack:
        create_topic(stack.bootstrap_servers, "replicated", replicas=3)
        publish(stack.bootstrap_servers, "replicated", "with all three")
        stack.broker(1).kill()
        publish(stack.bootstrap_servers, "replicated", "with two")
        assert values(stack.bootstrap_servers, "replicated", 2) == ["with all three", "with two"]
        for broker in stack.brokers:
            broker.kill()  # in order, the last one would wait 5 s for a quorum that is gone
    with pytest.raises(LocalError, match=r"3 broker\(s\), 1 asked for"):
        kafka_alone(own_settings)
