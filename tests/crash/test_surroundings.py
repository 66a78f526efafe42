"""The nemeses of a storm's surroundings really bite, and really heal: each is tried by itself, on three brokers."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.crash import (
    surroundings,
    surroundings_clock,
    surroundings_disk,
    surroundings_network,
)
from tests.crash.storm.crew import Crew
from tests.crash.storm.events import ErrandAsked, ParcelSent, ReceiptGiven
from tests.crash.storm.field import Field, Ground
from tests.crash.storm.tally import Tally
from tests.crash.surroundings_network import reset
from tests.crash.surroundings_packets import dropped, own_group
from tests.crash.surroundings_services import refusing, registry_away
from tests.integration.working import prepare, wait_until
from tidemill import broker
from tidemill.config import load_settings
from tidemill.local import Stack, readiness

DEAD = ParcelSent.__contract__.dead_topic
ECHO = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def echo(connection):
    while data := connection.recv(100):
        connection.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""
CLOCK = """
import time
while True:
    print(time.time(), time.monotonic(), flush=True)
    time.sleep(0.1)
"""
WAITS = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
wait, timed_out = {"posix": (libc.pthread_cond_timedwait, 110), "c11": (libc.cnd_timedwait, 4)}[sys.argv[1]]
condition, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
for line in sys.stdin:
    began, until = time.monotonic(), time.time() + float(line)
    then = (ctypes.c_long * 2)(int(until), int(until % 1 * 1e9))
    print("waits", flush=True)
    while (result := wait(condition, mutex, then)) == 0:
        pass
    assert result == timed_out, result
    print(time.monotonic() - began, flush=True)
"""
CUTS_FOR_EVER = """
import sys, time
from tests.crash.surroundings_packets import dropped
with dropped([int(sys.argv[1])]):
    print("cut", flush=True)
    time.sleep(300)
"""
DISK_FOR_EVER = """
import sys, time
from pathlib import Path
from tests.crash.surroundings_disk import small_disk
with small_disk(Path(sys.argv[1]), 1):
    print("mounted", flush=True)
    time.sleep(300)
"""
needs_packets = pytest.mark.skipif(bool(surroundings_network.why_not()), reason=str(surroundings_network.why_not()))
needs_disks = pytest.mark.skipif(bool(surroundings_disk.why_not()), reason=str(surroundings_disk.why_not()))
needs_clocks = pytest.mark.skipif(bool(surroundings_clock.why_not()), reason=str(surroundings_clock.why_not()))


@contextmanager
def child(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program for the time of the block."""
    environment = {**os.environ, **variables}
    with subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def echo() -> Iterator[tuple[int, socket.socket]]:
    """Pid and a connection of a server that sends back what it gets."""
    with child(ECHO) as server, socket.create_connection(("127.0.0.1", int(line(server)))) as connection:
        connection.settimeout(1.0)
        assert answers(connection)
        yield server.pid, connection


def answers(connection: socket.socket) -> bool:
    connection.sendall(b"?")
    try:
        return connection.recv(100) != b""
    except TimeoutError:
        return False


@needs_packets
def test_a_process_that_is_cut_off_is_silent_on_old_and_new_connections_and_hears_all_afterwards() -> None:
    with own_group(), echo() as (pid, connection):
        with dropped([pid]):
            assert not answers(connection)
            with pytest.raises(TimeoutError):
                socket.create_connection(connection.getpeername(), timeout=1.0)
        connection.settimeout(10.0)
        assert connection.recv(100) == b"?", "what was sent meanwhile arrives"
        assert answers(connection)
        socket.create_connection(connection.getpeername(), timeout=1.0).close()


@needs_packets
def test_nobody_else_loses_a_packet_while_one_is_cut_off() -> None:
    with own_group(), echo() as (pid, _), echo() as (_, other), dropped([pid]):
        for _ in range(50):
            assert answers(other)


@needs_packets
def test_a_lossy_network_is_slow_and_loses_nothing() -> None:
    with own_group(), echo() as (pid, connection):
        connection.settimeout(60.0)
        with dropped([pid], 0.3):
            began = time.monotonic()
            assert all(answers(connection) for _ in range(20))
            assert time.monotonic() - began > 0.2, "no packet was sent again"


@needs_packets
def test_only_what_was_started_in_the_storms_own_group_can_be_cut_off() -> None:
    with echo() as (pid, connection):
        with pytest.raises(RuntimeError, match="start it within"), dropped([pid]):
            pytest.fail("it was cut off")
        assert answers(connection)


@needs_packets
def test_a_storm_that_is_killed_leaves_nobody_cut_off() -> None:
    with own_group(), echo() as (pid, connection):
        with child(CUTS_FOR_EVER, str(pid)) as cutting:
            assert line(cutting) == "cut"
            assert not answers(connection)
        connection.settimeout(10.0)
        assert connection.recv(100) == b"?"


@needs_disks
def test_a_full_disk_takes_no_byte_and_has_room_again_afterwards(tmp_path: Path) -> None:
    with surroundings_disk.small_disk(tmp_path / "disk", 2):
        with surroundings_disk.full(tmp_path / "disk"), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (tmp_path / "disk" / "more").write_bytes(b"x")
        (tmp_path / "disk" / "more").write_bytes(b"x" * 1024 * 1024)
    assert list((tmp_path / "disk").iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@needs_disks
def test_a_storm_that_is_killed_leaves_its_disk_to_the_next_one_which_unmounts_it(tmp_path: Path) -> None:
    with child(DISK_FOR_EVER, str(tmp_path / "left")) as storm:
        assert line(storm) == "mounted"
        with surroundings_disk.small_disk(tmp_path / "other", 1):
            assert (tmp_path / "left").is_mount(), "its storm is alive"
    assert (tmp_path / "left").is_mount()
    with surroundings_disk.small_disk(tmp_path / "other", 1):
        assert not (tmp_path / "left").is_mount()


@needs_clocks
@pytest.mark.parametrize("offset_seconds", [-90, 90, 7200])
def test_a_running_programs_wall_clock_steps_and_its_monotonic_clock_does_not(
    tmp_path: Path, offset_seconds: int
) -> None:
    clock = surroundings_clock.Clock(tmp_path / "clock")
    clock.make()
    with child(CLOCK, **clock.variables) as program:

        def clocks() -> tuple[int, int]:
            wall, monotonic = map(float, line(program).split())
            return round(wall - time.time()), round(monotonic - time.monotonic())

        assert clocks() == (0, 0)
        with clock.off(offset_seconds):
            wait_until(lambda: clocks() == (offset_seconds, 0), "the step is seen", 2)
        wait_until(lambda: clocks() == (0, 0), "the step back is seen", 2)


@needs_clocks
@pytest.mark.parametrize("kind", ["posix", "c11"])
def test_waits_until_a_time_go_by_the_stepped_clock_those_under_way_included(tmp_path: Path, kind: str) -> None:
    clock = surroundings_clock.Clock(tmp_path / "clock")
    clock.make()
    with child(WAITS, kind, **clock.variables) as program:

        def begin(seconds: float) -> None:
            assert program.stdin is not None
            program.stdin.write(f"{seconds}\n")
            program.stdin.flush()
            assert line(program) == "waits"

        def waited() -> float:
            return float(line(program))

        begin(0.3)
        assert 0.25 < waited() < 1.5, "the clock is right"
        with clock.off(90):
            begin(0.3)
            assert 0.25 < waited() < 1.5, "it was ahead before the wait began"
        begin(60)
        with clock.off(90):
            assert waited() < 5, "it was set forward, past the time that is waited for"
        with clock.off(2):
            begin(0.3)
        assert 1.3 < waited() < 5, "it was set back, so that the time is further away"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three brokers and a registry, of which any can be cut off, and one has a small disk."""
    folder = tmp_path_factory.mktemp("surroundings")
    ground = Ground(folder, load_settings(state_dir=folder / "stack"))
    with ExitStack() as ends:
        for nemesis in surroundings.NEMESES.values():
            if nemesis.before is not None:
                ends.enter_context(nemesis.before(ground))
        yield ends.enter_context(
            Stack.start(ground.settings, brokers=3, kafka_port=0, registry_port=0, timeout_seconds=150)
        )


@pytest.fixture
def field(cluster: Stack, tmp_path: Path) -> Field:
    """A field of this cluster without workers and load, its topics ready."""
    settings = cluster.settings.model_copy(
        update={"namespace": f"t{uuid.uuid4().hex[:8]}.", "state_dir": tmp_path / "state"}
    )
    prepare(settings, ParcelSent, ErrandAsked, ReceiptGiven)
    crew = Crew(settings, (), tmp_path / "handled", tmp_path)
    return Field(settings, cluster, crew, NoLoad(), Tally(tmp_path / "handled"), tmp_path)


class NoLoad:
    """Publishes nothing."""

    def publish_one(self, stream: str, note: str) -> str:
        raise NotImplementedError


def answering(address: str) -> set[int]:
    """Numbers of the brokers that the one at this address knows to be there; none where it doesn't answer."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0, "socket.timeout.ms": 1000})
    try:
        return set(admin.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return set()


@contextmanager
def during(act: Callable[[Field, Random], str], field: Field, luck: Random) -> Iterator[Future[str]]:
    """An act in a thread, and in the block what can be seen meanwhile; at its end the act is over."""
    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act, field, luck)
        yield acting
        acting.result()


class Chosen(Random):
    """Chooses what a test wants, of all that is offered."""

    def __init__(self, *wanted: Any) -> None:
        super().__init__(1)
        self._wanted = wanted

    def choice(self, offered: Any) -> Any:
        """One of the wanted, by their `number` where they are brokers."""
        return next((each for each in offered if getattr(each, "number", each) in self._wanted), offered[0])


@needs_packets
def test_a_broker_that_is_cut_off_answers_nobody_loses_its_leadership_and_comes_back(field: Field) -> None:
    one, other = field.stack.broker(2), field.stack.broker(1)
    with during(surroundings_network.cut_off_a_broker, field, Chosen(2, 15.0)) as acting:
        wait_until(lambda: answering(one.address) == set(), "no metadata from the one that is cut off", 5)
        wait_until(lambda: answering(other.address) == {1, 3}, "the others have noticed", 14)
        assert not acting.done()
        assert acting.result() == "broker 2 for 15 s"
    assert answering(one.address) == answering(other.address) == {1, 2, 3}


@needs_packets
def test_a_connection_to_a_broker_ends_with_a_reset_and_can_be_made_again(field: Field) -> None:
    one = field.stack.broker(1)
    host, _, port = one.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=2.0) as connection:
        wait_until(lambda: reset(one.pid, int(port)) >= 1, "the broker has accepted", 5)
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    assert answering(one.address) == {1, 2, 3}


@needs_disks
def test_a_broker_halts_on_a_full_disk_and_is_back_with_all_replicas(field: Field) -> None:
    victim = field.stack.broker(surroundings_disk.BROKER)
    pid = victim.pid
    producer = Producer({**broker.client_config(field.settings), "acks": "all"})
    with during(surroundings_disk.fill_a_brokers_disk, field, Chosen()) as acting:
        # Something must be written for a broker to notice.
        while not acting.done():
            producer.produce(field.settings.qualified(ParcelSent.__contract__.topic), bytes(10_000))
            producer.poll(0.05)
    assert producer.flush(30) == 0
    assert acting.result().startswith(f"broker {surroundings_disk.BROKER} halted")
    assert victim.is_alive
    assert victim.pid != pid


def test_a_registry_that_is_away_answers_nothing_until_it_is_back(cluster: Stack) -> None:
    url = str(cluster.registry_url)
    with registry_away(cluster) as back:
        assert not readiness.registry_answers(url, timeout_seconds=1.0)
        back()
        wait_until(lambda: readiness.registry_answers(url), "the registry is back", 10)
    assert readiness.registry_answers(url)


def test_a_topic_that_refuses_takes_no_message_and_takes_all_again_afterwards(field: Field) -> None:
    def refusal() -> KafkaError | None:
        errors: list[KafkaError | None] = []
        producer = Producer(broker.client_config(field.settings))
        producer.produce(field.settings.qualified(DEAD), b"x", on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(30) == 0
        return errors[0]

    def refused() -> bool:
        error = refusal()
        assert error is None or error.code() == KafkaError.MSG_SIZE_TOO_LARGE, error
        return error is not None

    with refusing(field.settings, [DEAD]):
        wait_until(refused, "the topic refuses", 10)
    wait_until(lambda: not refused(), "the topic takes messages again", 10)


def test_every_nemesis_is_offered_or_says_why_not() -> None:
    offered = set(surroundings.NEMESES) | set(surroundings.LEFT_OUT)
    assert {"cut-off-broker", "cut-off-worker", "lossy-network", "fill-broker-disk", "step-clock"} <= offered
    assert not set(surroundings.NEMESES) & set(surroundings.LEFT_OUT)
