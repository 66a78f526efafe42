"""Whether Kafka, the registry and the mailbox really answer: a metadata request, a GET. An open port is not enough."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tidemill.local import ports

# Proxies of the environment must not get what goes to 127.0.0.1.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def brokers_answering(bootstrap: str, *, timeout_seconds: float = 2.0) -> set[int]:
    """Numbers of the brokers that the cluster's metadata lists; empty if nobody answers.

    Args:
        bootstrap: host:port, comma-separated.
        timeout_seconds: How long to wait for the answer.
    """
    addresses = [address.rpartition(":") for address in bootstrap.split(",")]
    if not any(ports.is_open(int(port)) for _, _, port in addresses):
        return set()  # saves librdkafka's loud attempts while the broker is still starting
    quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
    client = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 2000, **quiet})
    try:
        return set(client.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return set()  # not ready yet is an answer here; the caller holds the deadline


def registry_answers(registry_url: str, *, timeout_seconds: float = 2.0) -> bool:
    """Whether the registry lists its subjects.

    Args:
        registry_url: Address of the Confluent-compatible API.
        timeout_seconds: How long to wait for the answer.
    """
    return _serves(f"{registry_url}/subjects", timeout_seconds)


def mailbox_answers(mailbox_url: str, *, timeout_seconds: float = 2.0) -> bool:
    """Whether the mailbox lists its mails; it does so only when its mail server listens.

    Args:
        mailbox_url: Address of its page.
        timeout_seconds: How long to wait for the answer.
    """
    return _serves(f"{mailbox_url}/api/mails?limit=0", timeout_seconds)


def _serves(url: str, timeout_seconds: float) -> bool:
    try:
        with _direct.open(url, timeout=timeout_seconds) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException):
        return False
