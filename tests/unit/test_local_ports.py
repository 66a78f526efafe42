"""Finding free ports, and saying who holds one that isn't."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tidemill.errors import LocalError
from tidemill.local import ports


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    found = ports.any_free(5)
    assert len(set(found)) == 5
    for port in found:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_ports_to_avoid_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LOWEST", 20_000)
    monkeypatch.setattr(ports, "HIGHEST", 20_004)
    [only] = ports.any_free(1, avoid=[20_000, 20_001, 20_002])
    assert only == 20_003


def test_running_out_of_ports_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(LocalError, match="No 3 free ports between 20000 and 32000"):
        ports.any_free(3)


def test_a_taken_port_is_refused_with_its_holder_and_the_option(taken_port: int) -> None:
    with pytest.raises(LocalError) as caught:
        ports.require_free(taken_port, what="Kafka", option="--kafka-port")
    assert f"Port {taken_port} on 127.0.0.1, wanted by Kafka, is taken by" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert "--kafka-port PORT" in str(caught.value)


def test_a_port_taken_by_somebody_unseen_is_refused_without_a_name(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "holder", lambda _port: None)
    with pytest.raises(LocalError, match=rf"Port {taken_port} on 127\.0\.0\.1, wanted by Kafka, is taken\. "):
        ports.require_free(taken_port, what="Kafka", option="--kafka-port")


def test_a_port_of_all_interfaces_counts_as_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not ports.is_free(listener.getsockname()[1])
