"""A small receiver of webhooks, as a customer's would be: it checks each signature, and answers as its path says.

`/orders` takes what comes. `/moved` answers 410: it wants no more.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from streams.notification.address import new_secret

MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Call:
    """One webhook.

    Attributes:
        id: The sender's, the same in each try.
        path: Where it came.
        is_verified: Whether it bears the secret's signature.
        said: Its body.
        status: What was answered.
    """

    id: str
    path: str
    is_verified: bool
    said: dict[str, Any]
    status: int


class Receiver:
    """What has come so far.

    Attributes:
        url: Its address, without a path.
        secret: What senders sign with.
    """

    def __init__(self) -> None:
        self.url = ""
        self.secret = new_secret()
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Check a webhook, keep it, and say what to answer."""
        try:
            Webhook(self.secret).verify(body, headers)
            is_verified = True
        except WebhookVerificationError:
            is_verified = False
        status = 410 if path == "/moved" else 204 if is_verified else 401
        with self._lock:
            self._calls.append(Call(headers.get("webhook-id", ""), path, is_verified, json.loads(body), status))
        return status

    def calls(self, path: str) -> list[Call]:
        """What came to a path."""
        with self._lock:
            return [call for call in self._calls if call.path == path]


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver on a free port of this machine, for the time of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), MOST_BYTES)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(self.path, headers, self.rfile.read(length)))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the demo shows what came."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="webhooks")
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
