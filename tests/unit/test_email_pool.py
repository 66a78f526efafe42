"""Kept connections: how many, how long, what becomes of one whose server went, and mails at a measured pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.email import pool as pool_module
from streams.email.connection import RelayLost
from streams.email.pool import Pool
from tests.integration.smtp_server import DROP, HANG, Command, Rule, SmtpServer, smtp_server
from tests.unit.email_samples import mail, request, settings
from tidemill.errors import OutcomeUnknown

MAIL = mail(request(to=["ada@example.com"]))


@asynccontextmanager
async def pooled(rule: Rule | None = None, **more: Any) -> AsyncIterator[tuple[Pool, SmtpServer]]:
    """A pool, and the server that it sends to."""
    async with smtp_server(rule) as server:
        pool = Pool(settings(port=server.port, **more))
        try:
            yield pool, server
        finally:
            await pool.close()


async def send(pool: Pool, count: int = 1) -> list[Any]:
    return await asyncio.gather(*(pool.send(MAIL, MAIL.recipients) for _ in range(count)), return_exceptions=True)


async def test_no_more_connections_are_open_than_allowed_and_all_are_used_again() -> None:
    most = 0

    def rule(command: Command) -> None:
        nonlocal most
        most = max(most, command.session.server.open_sessions)

    async with pooled(rule, max_connections=3) as (pool, server):
        for _ in range(3):
            await send(pool, 20)
        assert len(server.mails) == 60
        assert len(server.sessions) == 3
    assert most == 3


async def test_a_connection_is_closed_after_so_many_mails() -> None:
    async with pooled(max_connections=1, max_messages_per_connection=4) as (pool, server):
        await send(pool, 10)
        assert [session.mails for session in server.sessions] == [4, 4, 2]


async def test_an_idle_connection_is_closed_politely() -> None:
    async with pooled(idle_seconds=0.05) as (pool, server):
        await send(pool)
        async with asyncio.timeout(10):
            await server.sessions[0].closed.wait()
        assert server.sessions[0].commands[-1] == "QUIT"


async def test_a_kept_connection_that_the_server_closed_meanwhile_costs_no_mail() -> None:
    async with pooled(max_connections=1) as (pool, server):
        await send(pool)
        server.sessions[0].transport.abort()
        await server.sessions[0].closed.wait()
        assert (await send(pool))[0].accepted == ("ada@example.com",)
        assert len(server.sessions) == 2


async def test_a_kept_connection_that_is_dropped_at_the_next_mail_costs_no_mail() -> None:
    def rule(command: Command) -> str | None:
        return DROP if command.verb == "MAIL" and command.session.mails == 1 else None

    async with pooled(rule, max_connections=1) as (pool, server):
        await send(pool, 3)
        assert [session.mails for session in server.sessions] == [1, 1, 1]


async def test_a_fresh_connection_that_is_dropped_is_an_error_and_not_tried_for_ever() -> None:
    async with pooled(lambda command: DROP if command.verb == "MAIL" else None) as (pool, server):
        (error,) = await send(pool)
        assert isinstance(error, RelayLost)
        assert len(server.sessions) == 1


async def test_a_connection_is_asked_whether_it_is_there_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CHECK_AFTER_SECONDS", 0.0)
    rule_is_on = False

    def rule(command: Command) -> str | None:
        return HANG if rule_is_on and command.verb == "NOOP" and command.session.number == 1 else None

    async with pooled(rule, max_connections=1, command_seconds=0.2) as (pool, server):
        await send(pool, 2)
        assert "NOOP" in server.sessions[0].commands
        rule_is_on = True
        assert (await send(pool))[0].accepted == ("ada@example.com",)
        assert len(server.sessions) == 2


async def test_a_relay_that_is_down_isnt_asked_by_every_mail_anew() -> None:
    async with pooled(lambda command: "421 busy" if command.verb == "CONNECT" else None) as (pool, server):
        for _ in range(5):
            (error,) = await send(pool)
            assert isinstance(error, RelayLost)
            assert error.retriable
        assert len(server.sessions) == 1


async def test_a_relay_that_comes_back_is_used_after_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "FIRST_PAUSE_SECONDS", 0.05)
    async with pooled(lambda command: "421 busy" if command.verb == "CONNECT" else None) as (pool, server):
        await send(pool)
        server.rule = None
        async with asyncio.timeout(10):
            while isinstance((await send(pool))[0], RelayLost):
                pass
        assert len(server.mails) == 1


async def test_a_mail_whose_outcome_is_unknown_gives_its_place_back() -> None:
    async with pooled(lambda command: DROP if command.verb == "END" else None, max_connections=1) as (pool, server):
        found = await send(pool, 3)
        assert [type(each) for each in found] == [OutcomeUnknown] * 3
        server.rule = None
        assert (await send(pool))[0].accepted == ("ada@example.com",)


async def test_mails_go_no_faster_than_allowed() -> None:
    async with pooled(rate_per_second=50) as (pool, server):
        began = time.monotonic()
        await send(pool, 11)
        assert time.monotonic() - began >= 10 / 50
        assert len(server.mails) == 11
