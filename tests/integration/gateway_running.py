"""A gateway that serves a port from a thread of the test, as `tidemill gateway` does from a process."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from producers.gateway.gateway import Gateway
from producers.gateway.server import Server, bound
from producers.gateway.settings import load_gateway_settings
from producers.gateway.tokens.request import new_token
from producers.gateway.tokens.store import TokenStore
from tests.unit.gateway_calls import Answer
from tidemill.config import Settings

START_SECONDS = 20.0
ANSWER_SECONDS = 30.0


class Running:
    """A gateway that runs.

    Args:
        gateway: Its parts.
        server: Serves it.
        port: Its port on 127.0.0.1.
    """

    def __init__(self, gateway: Gateway, server: Server, port: int) -> None:
        self.gateway, self.server, self.port = gateway, server, port

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request on a connection of its own; underscores in the names of headers stand for dashes."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            given = {"Content-Type": "application/json"} if raw is not None else {}
            given |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, raw, given)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


@contextmanager
def running_gateway(settings: Settings, **options: Any) -> Iterator[Running]:
    """A gateway for the time of the block; `options` are its settings. Open, unless `open=False` is given."""
    gateway_settings = load_gateway_settings(**{"open": True, "port": 0, "access_log": False, **options})
    listening = bound(gateway_settings)
    gateway = Gateway(settings, gateway_settings)
    server = Server(gateway)
    thread = threading.Thread(target=server.run, args=([listening],), name="gateway")
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive(), "the gateway has ended"
            assert time.monotonic() < deadline, "the gateway didn't start in time"
            time.sleep(0.01)
        yield Running(gateway, server, listening.getsockname()[1])
    finally:
        server.stop()
        thread.join(START_SECONDS)
        listening.close()
        assert not thread.is_alive(), "the gateway didn't end in time"


def new_tokens(settings: Settings, **wanted: Mapping[str, Any]) -> dict[str, str]:
    """Make tokens, and give their texts by name.

    Args:
        settings: Where their database is.
        **wanted: Arguments of `new_token`; `ago`: how long ago it was made; `revoke`: whether it is revoked.
    """
    store = TokenStore(settings, load_gateway_settings())
    texts = {}
    try:
        for name, asked in wanted.items():
            arguments: dict[str, Any] = {
                "publish": [],
                "read_jobs": False,
                "upload": False,
                "expires": "1d",
                "rate": None,
                "burst": None,
                **asked,
            }
            now = datetime.now(UTC) - arguments.pop("ago", timedelta())
            revoke = arguments.pop("revoke", False)
            token, texts[name], hash_ = new_token(name, arguments.pop("publish"), now=now, **arguments)
            store.add(token, hash_)
            if revoke:
                store.revoke(name, datetime.now(UTC))
    finally:
        store.close()
    return texts


def revoke_token(settings: Settings, name: str) -> None:
    """Revoke a token, as `tidemill tokens revoke` does."""
    store = TokenStore(settings, load_gateway_settings())
    try:
        store.revoke(name, datetime.now(UTC))
    finally:
        store.close()
