"""Calls a gateway in this process, as an HTTP server would, with a publisher that keeps events in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette

from producers.gateway.app import make_app
from producers.gateway.gateway import Gateway
from producers.gateway.settings import load_gateway_settings
from tidemill.config import load_settings
from tidemill.testing import AsyncMemoryPublisher

JSON = "application/json"
LINES = "application/x-ndjson"
PICTURE = {"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """Its body's lines as JSON."""
        return [json.loads(line) for line in self.body.splitlines()]


class Calls:
    """A gateway and what it has published."""

    def __init__(self, app: Starlette, gateway: Gateway, publisher: AsyncMemoryPublisher) -> None:
        self.app, self.gateway, self.publisher = app, gateway, publisher

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        pieces: Sequence[bytes] | None = None,
        takes_answers: bool = True,
    ) -> Answer:
        """One request; `pieces` is a body that comes bit by bit, without a length."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if "host" not in {name.lower() for name, _ in pairs}:
            pairs.append(("host", "127.0.0.1"))
        if pieces is None:
            pairs.append(("content-length", str(len(raw))))
        path, _, query = path.partition("?")
        left = list(pieces) if pieces is not None else [raw]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not left:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)
            if not takes_answers and message["type"] == "http.response.body":
                await asyncio.Event().wait()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self.app(scope, receive, send)
        start = sent[0]
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    async def post(self, path: str, body: object, media_type: str = JSON, **headers: str) -> Answer:
        """A POST; underscores in the names of headers stand for dashes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self("POST", path, body, {"content-type": media_type, **given})


@asynccontextmanager
async def calls(folder: Path, **settings: Any) -> AsyncIterator[Calls]:
    """A gateway without tokens, unless `open=False` is given, with its files in a folder."""
    base = load_settings(state_dir=folder / "state")
    publisher = AsyncMemoryPublisher(base)
    gateway_settings = load_gateway_settings(**{"open": True, "access_log": False, **settings})
    gateway = Gateway(base, gateway_settings, publisher=publisher, codec=publisher._preparer.codec)
    publisher.open = lambda: None  # type: ignore[method-assign]
    app = make_app(base, gateway_settings, gateway=gateway)
    await gateway.open()
    try:
        yield Calls(app, gateway, publisher)
    finally:
        await gateway.close()
