"""Where a stranger's URL may lead, and where not, however it is written and whatever DNS says the second time."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from streams.notification.answers import MOST_WAIT_SECONDS, NotNow, Refused, retry_after_seconds
from streams.notification.outbound import Outbound, Reply
from streams.notification.public_address import may_connect
from tests.unit.notification_receivers import receiver
from tests.unit.notification_samples import LOCAL, NOON, settings
from tidemill.errors import OutcomeUnknown

PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "100::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
    "",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_that_isnt_public_is_never_connected_to(host: str) -> None:
    assert not may_connect(host, ())


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_a_public_address_may_be_connected_to(host: str) -> None:
    assert may_connect(host, ())


def test_a_private_network_can_be_allowed_and_no_other_with_it() -> None:
    allowed = (ip_network("10.7.0.0/16"), ip_network("fd00:7::/32"))
    for host, may in (
        ("10.7.1.2", True),
        ("::ffff:10.7.1.2", True),
        ("10.8.1.2", False),
        ("fd00:7::1", True),
        ("fd00:8::1", False),
    ):
        assert may_connect(host, allowed) is may


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]", "localhost"],
)
async def test_a_webhook_to_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async with receiver() as server, connections() as outbound:
        with pytest.raises(Refused, match=r"isn't a public address|is no host"):
            await outbound.post(f"http://{host}:{server.port}/secret-path", b"{}", {})
        assert server.received == []


async def test_an_address_of_the_cloud_itself_is_refused() -> None:
    async with connections() as outbound:
        for url in ("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/"):
            with pytest.raises(Refused, match="isn't a public address"):
                await outbound.post(url, b"", {})


async def test_dns_that_answers_differently_the_second_time_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is allowed, all later ones are this machine, where a server listens."""
    asked: list[str] = []

    async def resolve(self: Any, host: str, port: Any, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolve)
    async with receiver() as server, connections(allow_networks=["127.0.0.2/32"]) as outbound:
        url = f"http://rebinding.example:{server.port}/"
        with pytest.raises(NotNow, match=r"no connection to rebinding\.example"):
            await outbound.post(url, b"", {})
        with pytest.raises(Refused, match=r"rebinding\.example:\d+ isn't a public address"):
            await outbound.post(url, b"", {})
    assert len(asked) == 2
    assert server.received == []


async def test_a_redirect_is_an_answer_and_not_a_way() -> None:
    async with receiver() as server, connections(**LOCAL) as outbound:
        server.rule = lambda request: (302, {"Location": f"{server.url}/private"})
        assert (await outbound.post(f"{server.url}/hook", b"{}", {})).status == 302
        assert [each.path for each in server.received] == ["/hook"]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiver() as server, connections(**LOCAL) as outbound:
        assert (await outbound.post(f"{server.url}/", b"{}", {})).status == 201


@asynccontextmanager
async def connections(**more: Any) -> AsyncIterator[Outbound]:
    outbound = Outbound(settings(**more))
    try:
        yield outbound
    finally:
        await outbound.close()


@asynccontextmanager
async def raw_server(answer: bytes, *, pause_seconds: float = 0.0, forever: bool = False) -> AsyncIterator[str]:
    """A server that answers with these bytes, some at a time, whatever it is asked."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while forever:
                await writer.drain()
                await asyncio.sleep(pause_seconds)
                writer.write(b"x" if pause_seconds else b"x" * 65_536)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token-in-the-path"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def outcome(url: str) -> Reply | Exception:
    async with connections(**{**LOCAL, "answer_seconds": 0.4}) as outbound:
        try:
            return await outbound.post(url, b"{}", {})
        except (OutcomeUnknown, NotNow) as error:
            return error


async def test_an_endless_body_is_an_answer_and_its_rest_isnt_read() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", forever=True) as url:
        assert await outcome(url) == Reply(200, None)


async def test_a_bomb_of_gzip_is_not_unpacked() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"
    async with raw_server(head) as url:
        assert await outcome(url) == Reply(200, None)


@pytest.mark.parametrize(
    ("answer", "pause_seconds", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", 0.05, "no answer from 127.0.0.1:[0-9]+ within 0.4 s"),
        (b"", 0.05, "no (proper )?answer from 127.0.0.1:[0-9]+"),
        (b"HTTP/1.1 200 OK\r\nX: ", 0.0, "no proper answer from"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", 0.05, "no proper answer from"),
    ],
)
async def test_an_answer_that_doesnt_end_or_is_none_costs_little_time_and_leaves_the_outcome_open(
    answer: bytes, pause_seconds: float, words: str
) -> None:
    began = time.monotonic()
    async with raw_server(answer, pause_seconds=pause_seconds, forever=True) as url:
        found = await outcome(url)
    assert isinstance(found, OutcomeUnknown)
    assert re.search(words, str(found))
    assert "token-in-the-path" not in str(found)
    assert time.monotonic() - began < 3


async def _end(task: asyncio.Task[Reply]) -> Reply | BaseException:
    await asyncio.wait([task])
    return task.exception() or task.result()


async def test_a_slow_host_takes_no_more_than_its_turns_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.notification.outbound.TURN_SECONDS", 0.1)
    async with (
        raw_server(b"HTTP/1.1 200 OK\r\nX: ", pause_seconds=0.05, forever=True) as slow,
        receiver() as server,
        connections(**{**LOCAL, "answer_seconds": 0.9}) as outbound,
    ):
        many = [asyncio.create_task(outbound.post(slow, b"{}", {})) for _ in range(30)]
        ended = [await first for first in itertools.islice(asyncio.as_completed([_end(each) for each in many]), 10)]
        turned_away = [end for end in ended if isinstance(end, NotNow)]
        assert (await outbound.post(f"{server.url}/", b"{}", {})).status == 201
        ends = await asyncio.gather(*many, return_exceptions=True)
    assert len(turned_away) == 10
    assert "is slow: 20 requests" in str(turned_away[0])
    assert "token-in-the-path" not in str(turned_away[0])
    assert [type(end) for end in ends].count(OutcomeUnknown) == 20


async def test_a_receiver_that_isnt_there_got_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = await outcome(f"http://127.0.0.1:{free.getsockname()[1]}/token-in-the-path")
    assert isinstance(found, NotNow)
    assert "ECONNREFUSED" in str(found)
    assert "token-in-the-path" not in str(found)


async def test_headers_cant_be_smuggled_in() -> None:
    async with receiver() as server, connections(**LOCAL) as outbound:
        with pytest.raises(ValueError, match=r"(?i)newline|header"):
            await outbound.post(server.url, b"", {"webhook-id": "a\r\nX-Evil: 1"})
        assert server.received == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 5000, MOST_WAIT_SECONDS),
        ("Tue, 24 Nov 2026 12:02:00 GMT", 120.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2099 11:00:00 GMT", MOST_WAIT_SECONDS),
        ("Tue, 99 Nov 2026 12:02:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_reason(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOON) == seconds
