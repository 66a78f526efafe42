"""A load client for HTTP: `python -m bench.http_load ORDER.json`. A process of its own, as clients are.

Keeps so many connections busy with the same requests, one at a time on each, for so long, and prints what came back as
one line of JSON: answers by status, their bytes, and the time from each request to its answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httptools
import uvloop

ACCEPTED = b'"status":202'
"""What a line's answer holds whose event was accepted."""


class Connection(asyncio.Protocol):
    """Sends a request, reads its answer, and begins anew.

    Args:
        requests: Complete requests, taken in turn.
        tally: Where to count.
        ends_at: No request after this, by the monotonic clock.
    """

    def __init__(self, requests: list[bytes], tally: Tally, ends_at: float) -> None:
        self._requests, self._tally, self._ends_at = requests, tally, ends_at
        self._next = 0
        self._began = 0.0
        self._bytes = 0
        self._accepted = 0
        self._tail = b""
        self._transport: Any = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Read."""
        self._bytes += len(data)
        seen = self._tail + data
        self._accepted += seen.count(ACCEPTED)
        self._tail = seen[1 - len(ACCEPTED) :]
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """An answer is there in full."""
        self._tally.count(
            self._parser.get_status_code(), time.perf_counter() - self._began, self._bytes, self._accepted
        )
        if time.monotonic() < self._ends_at and self._parser.should_keep_alive():
            asyncio.get_running_loop().call_soon(self._send)
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """End."""
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = self._accepted = 0
        self._tail = b""
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)


class Tally:
    """What came back."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds: list[float] = []
        self.bytes = 0
        self.accepted = 0
        """Lines of batches that were accepted."""

    def count(self, status: int, seconds: float, size_bytes: int, accepted: int) -> None:
        """Count an answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds.append(seconds)
        self.bytes += size_bytes
        self.accepted += accepted


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST request, complete."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def load(order: dict[str, Any]) -> dict[str, Any]:
    """Do what an order says.

    Args:
        order: `port`, `path`, `headers`, `bodies`, `connections`, `seconds`.
    """
    loop = asyncio.get_running_loop()
    requests = [request(order["path"], body.encode(), order["headers"]) for body in order["bodies"]]
    tally = Tally()
    began = time.monotonic()
    ends_at = began + order["seconds"]
    connections = []
    for number in range(order["connections"]):
        turned = requests[number % len(requests) :] + requests[: number % len(requests)]
        _, connection = await loop.create_connection(
            lambda turned=turned: Connection(turned, tally, ends_at),  # type: ignore[misc]
            "127.0.0.1",
            order["port"],
        )
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    seconds = time.monotonic() - began
    ordered = sorted(tally.seconds) or [0.0]
    return {
        "seconds": seconds,
        "answers": len(tally.seconds),
        "accepted": tally.accepted,
        "statuses": tally.statuses,
        "per_second": len(tally.seconds) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    }


def main() -> None:
    """Read the order, do it, print the result."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(uvloop.run(load(order))))


if __name__ == "__main__":
    main()
