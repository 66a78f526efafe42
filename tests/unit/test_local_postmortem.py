"""Why a Java program died, told from its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.local import postmortem

KAFKA_LOG = """\
2026-11-24T08:19:28,490 INFO  [BrokerServer id=1] Starting broker (BrokerServer)
2026-11-24T08:19:28,559 ERROR Exiting Kafka due to fatal exception (Kafka$)
org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092
\tat kafka.network.Acceptor.openServerSocket(SocketServer.scala:738)
Caused by: java.net.BindException: Address already in use
\tat java.base/sun.nio.ch.Net.bind0(Native Method)
2026-11-24T08:19:28,700 INFO  [BrokerServer id=1] shut down completed (BrokerServer)
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (KAFKA_LOG, "java.net.BindException: Address already in use"),
        ("2026-11-24 08:19:29,437 ERROR Failed to start (quarkus)\n", "Failed to start (quarkus)"),
        (
            "Error: Could not find or load main class kafka.Kafka\n",
            "Error: Could not find or load main class kafka.Kafka",
        ),
        ("Terminating due to java.lang.OutOfMemoryError: Java heap space\n", "Terminating due to java.lang.OutOf"),
        ("all is well\nthe last words\n", "the last words"),
    ],
)
def test_the_root_cause_is_told_without_its_time_stamp(log: str, expected: str) -> None:
    reason = postmortem.reason(log)
    assert reason is not None
    assert reason.startswith(expected)


def test_a_log_that_says_nothing_gives_no_reason() -> None:
    assert postmortem.reason("\n\n") is None


def test_a_very_long_reason_is_cut() -> None:
    reason = postmortem.reason("ERROR " + "x" * 1000)
    assert reason is not None
    assert len(reason) == 300


@pytest.mark.parametrize(
    ("exit_status", "words"),
    [
        (1, "ended with exit status 1"),
        (-9, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
        (None, "ended"),
    ],
)
def test_how_a_process_ended_is_told_in_words(exit_status: int | None, words: str) -> None:
    assert postmortem.verdict(exit_status) == words


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("early\n" * 100_000 + "late\n")
    tail = postmortem.tail(log)
    assert tail.endswith("late\n")
    assert len(tail) == postmortem.TAIL_BYTES
    assert postmortem.tail(tmp_path / "missing.log") == ""
