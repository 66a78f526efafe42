"""Reads server-sent events of a gateway, as a client does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.gateway_running import Running


@dataclass(frozen=True)
class Told:
    """One event."""

    name: str
    id: str
    data: Any


class Stream:
    """An open stream of events."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._response = response
        self.comments = 0

    def __iter__(self) -> Iterator[Told]:
        fields: dict[str, str] = {}
        while line := self._response.readline():
            name, _, value = line.decode().rstrip("\n").partition(":")
            if line == b"\n":
                if "data" in fields:
                    yield Told(fields["event"], fields["id"], json.loads(fields["data"]))
                fields = {}
            elif name:
                fields[name] = value.strip()
            else:
                self.comments += 1


@contextmanager
def stream(gateway: Running, job: str, **headers: str) -> Iterator[Stream]:
    """Follow a job, whose path is given, within the block."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", f"{job}/events", headers=given)
        yield Stream(connection.getresponse())
    finally:
        connection.close()
