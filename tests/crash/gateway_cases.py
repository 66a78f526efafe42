"""What hostile or careless clients do to a gateway, and what each should get for it.

Every case is one function of a target; it returns the status and the body that came back, or `closed` where the
connection was ended without a word. `gateway_attacks` runs all of them, and a test runs them with short times.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

PICTURE: dict[str, Any] = {"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}
BODY = json.dumps(PICTURE).encode()
PATH = "/events/image.requested"
CLOSED = 0
"""Stands for a connection that was ended without an answer."""


@dataclass(frozen=True)
class Target:
    """A gateway that is attacked."""

    port: int
    tokens: dict[str, str]
    """By name: good, expired, revoked, mails (may publish email.requested alone), slow (has a rate)."""
    body_bytes: int
    """The gateway's own limits."""
    header_bytes: int
    header_seconds: float
    body_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came back."""

    status: int
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Case:
    """One attack."""

    name: str
    expected: tuple[int, ...]
    run: Callable[[Target], Outcome] = field(compare=False)


CASES: list[Case] = []


def case(name: str, *expected: int) -> Callable[[Callable[[Target], Outcome]], Callable[[Target], Outcome]]:
    """Add a case; one of the statuses is right."""

    def add(run: Callable[[Target], Outcome]) -> Callable[[Target], Outcome]:
        CASES.append(Case(name, expected, run))
        return run

    return add


def exchange(port: int, pieces: Iterable[bytes | float], timeout: float = 30.0) -> Outcome:
    """Send bytes as they are, with pauses (seconds) between, and read one answer."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            for piece in pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It may have answered already.
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            text = response.read(100_000).decode("utf-8", "replace")
        except (http.client.HTTPException, ConnectionError):
            return Outcome(CLOSED, "", time.monotonic() - began)
        return Outcome(response.status, text, time.monotonic() - began)


def head(
    target: Target,
    *lines: str,
    method: str = "POST",
    path: str = PATH,
    token: str | None = "good",
    media_type: str | None = "application/json",
) -> bytes:
    """A request's line and headers; further lines as they are."""
    given = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token is not None:
        given.append(f"Authorization: Bearer {target.tokens.get(token, token)}")
    if media_type is not None:
        given.append(f"Content-Type: {media_type}")
    return "\r\n".join([*given, *lines, "", ""]).encode("latin-1")


def post(target: Target, body: bytes = BODY, *lines: str, **options: Any) -> Outcome:
    """A request that is whole."""
    return exchange(target.port, [head(target, f"Content-Length: {len(body)}", *lines, **options) + body])


def _simple(name: str, *expected: int, body: bytes = BODY, lines: tuple[str, ...] = (), **options: Any) -> None:
    CASES.append(Case(name, expected, lambda target: post(target, body, *lines, **options)))


def _path(path: str, *expected: int) -> None:
    _simple(f"path {path}", *expected, path=path)


_simple("no token", 401, token=None)
_simple("a wrong token", 401, token="tmg_0123456789ab_" + "x" * 43)
_simple("an expired token", 401, token="expired")
_simple("a revoked token", 401, token="revoked")
_simple("a token for other events", 403, token="mails")
_simple("an internal type", 403, path="/events/image.processed")
_simple("an SQL phrase for a token", 401, token="' OR 1=1 --")


@case("more events than the rate", 429)
def _rate(target: Target) -> Outcome:
    outcomes = [post(target, token="slow") for _ in range(4)]
    return outcomes[-1]


@case("Content-Length beyond the limit", 413)
def _announced(target: Target) -> Outcome:
    return exchange(target.port, [head(target, "Content-Length: 10000000000"), b"{"])


@case("a chunked body beyond the limit", 413)
def _chunked(target: Target) -> Outcome:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    many = [chunk] * (target.body_bytes // 0x10000 + 20)
    return exchange(target.port, [head(target, "Transfer-Encoding: chunked"), *many])


@case("a gzip bomb (100 MB in 97 KB)", 413)
def _bomb(target: Target) -> Outcome:
    bomb = gzip.compress(b" " * 100_000_000, compresslevel=9)
    return post(target, bomb, "Content-Encoding: gzip")


@case("slow headers, a byte at a time", 408)
def _slow_head(target: Target) -> Outcome:
    whole = head(target, "Content-Length: 10")
    pause = target.header_seconds / 20
    return exchange(target.port, [each for byte in whole[:60] for each in (bytes([byte]), pause)])


@case("a connection that says nothing", CLOSED)
def _silent(target: Target) -> Outcome:
    return exchange(target.port, [])


@case("a body that stops half way", 408)
def _stopped(target: Target) -> Outcome:
    return exchange(target.port, [head(target, "Content-Length: 500"), b'{"source": '])


@case("a body that trickles", 408)
def _trickle(target: Target) -> Outcome:
    pause = target.body_seconds / 4
    trickle = [each for _ in range(12) for each in (b" ", pause)]
    return exchange(target.port, [head(target, "Content-Length: 500"), *trickle])


@case("200 slow connections, then an honest request", 202)
def _slowloris(target: Target) -> Outcome:
    slow = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /events/image.requested HTTP/1.1\r\nX: ")
        return post(target)
    finally:
        for connection in slow:
            connection.close()


_simple("malformed JSON", 400, body=b'{"source": ')
_simple("JSON that is not UTF-8", 400, body=b'{"source": "\xff\xfe"}')
_simple("a property twice", 400, body=b'{"source": "a", "source": "b", "renditions": []}')
_simple("nested 100,000 times", 400, body=b"[" * 100_000)
_simple("a number of 100,000 digits", 400, 422, body=b'{"source": ' + b"9" * 100_000 + b"}")
_simple("a number with an exponent of a billion", 422, body=b'{"source": 1e999999999, "renditions": []}')
_simple("half a surrogate", 422, body=b'{"source": "\\ud800", "renditions": []}')
_simple("an empty body", 400, body=b"")
_simple("Avro without a schema", 400, body=b"\x02hello", media_type="application/avro")
_simple(
    "Avro with a strange schema id",
    400,
    body=struct.pack(">bI", 0, 4_000_000_000) + b"x",
    media_type="application/avro",
)
_simple("single-object Avro of another schema", 400, body=b"\xc3\x01" + b"\x07" * 20, media_type="application/avro")
_simple("a wrong content type", 415, media_type="text/plain")
_simple("no content type", 415, media_type=None)
_simple("a character set of its own", 415, media_type="application/json; charset=utf-7")
_simple("an unknown Content-Encoding", 415, lines=("Content-Encoding: br",))
_simple("gzip that is none", 400, lines=("Content-Encoding: gzip",))

_path("/events/../metrics", 404)
_path("/events/%2e%2e/metrics", 404)
_path("/events/..%2fmetrics", 404)
_path("//events/image.requested", 400, 404)
_path("/events/image.requested/", 404)
_path("/events/image.requested%00", 404)
_path("/events/image.requested%0d%0aX-Evil:%201", 404)
_path("/../../../etc/passwd", 404)
_path("http://elsewhere.example/events/image.requested", 202)

_simple(
    "CR LF in a CloudEvent's header",
    400,
    lines=("ce-specversion: 1.0", "ce-id: a%0d%0aX-Evil:1", "ce-source: /x", "ce-type: image.requested"),
)
_simple(
    "a header of ours in a CloudEvent",
    400,
    lines=("ce-specversion: 1.0", "ce-id: a", "ce-source: /x", "ce-type: image.requested", "ce-tm_root: x"),
)
_simple("a bare LF in a header", 400, lines=("Idempotency-Key: a\nX-Evil: 1",))
_simple("NUL in a header", 400, lines=("Idempotency-Key: a\x00b",))
_simple("an idempotency key that can't be printed", 400, lines=("Idempotency-Key: \xe4",))
_simple("two Authorization headers", 400, lines=("Authorization: Bearer x",))
_simple("Content-Length twice", 400, lines=("Content-Length: 5",))
_simple("Content-Length and chunked (smuggling)", 400, lines=("Transfer-Encoding: chunked",))
_simple("a strange Transfer-Encoding", 400, 501, lines=("Transfer-Encoding: cow",))
_simple("method TRACE", 405, method="TRACE")
_simple("method DELETE", 405, method="DELETE")


@case("a header of 1 MB", 431)
def _large_header(target: Target) -> Outcome:
    return exchange(target.port, [head(target)[:-2] + b"X-Large: " + b"x" * 1_000_000])


@case("10,000 headers", 431)
def _many_headers(target: Target) -> Outcome:
    return exchange(target.port, [head(target, *[f"X-{number}: 1" for number in range(10_000)])])


@case("a path of 1 MB", 431)
def _large_path(target: Target) -> Outcome:
    return exchange(target.port, [head(target, path="/" + "a" * 1_000_000)])


@case("bytes that are no HTTP (a TLS greeting)", 400)
def _garbage(target: Target) -> Outcome:
    return exchange(target.port, [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200])


@case("a chunk that lies about its size", 400)
def _lying_chunk(target: Target) -> Outcome:
    return exchange(target.port, [head(target, "Transfer-Encoding: chunked"), b"zz\r\n{}\r\n0\r\n\r\n"])


@case("5,000 requests at once in one connection", 200)
def _pipelined(target: Target) -> Outcome:
    asked = head(target, method="GET", path="/healthz", token=None, media_type=None) * 5_000
    return exchange(target.port, [asked])
