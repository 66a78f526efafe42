"""One connection to a mail server that answers, refuses, drops, hangs and lies: what is known of the mail each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streams.email.connection import Connection, Refused, RelayLost
from streams.email.message import Mail
from tests.integration.smtp_server import DROP, HANG, Command, SmtpServer, smtp_server
from tests.unit.email_samples import mail, request, settings
from tidemill.errors import OutcomeUnknown, Reject

TO = ("ada@example.com", "bob@example.com", "eve@example.com")
PLAIN = ("SIZE 50000000", "8BITMIME", "SMTPUTF8")


def three(**more: Any) -> Mail:
    return mail(request(to=list(TO), **more))


async def opened(server: SmtpServer, **more: Any) -> Connection:
    return await Connection.open(settings(port=server.port, **{"command_seconds": 5, "data_seconds": 5, **more}))


@pytest.fixture(params=["pipelining", "one by one"])
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What a server offers; everything holds with and without PIPELINING."""
    return ("PIPELINING", *PLAIN) if request.param == "pipelining" else PLAIN


def at(verb: str, answer: str, path: str = "") -> Callable[[Command], Any]:
    return lambda command: answer if command.verb == verb and path in command.line else None


async def test_a_mail_arrives_byte_for_byte(extensions: tuple[str, ...]) -> None:
    made = three(text=".\n..\n.dots at the beginning\n\nFrom here\n.")
    async with smtp_server(extensions=extensions) as server:
        connection = await opened(server)
        handover = await connection.send(made, TO)
        await connection.close()
        await server.sessions[0].closed.wait()
    assert [mail.data for mail in server.mails] == [made.data]
    assert server.mails[0].recipients == TO
    assert server.mails[0].sender == "hello@example.com"
    assert (handover.accepted, handover.refused) == (TO, ())
    assert handover.answer == "250 2.0.0 queued as 000001"
    assert server.sessions[0].commands[-1] == "QUIT"


async def test_many_mails_go_over_one_connection_with_a_few_writes_each() -> None:
    async with smtp_server() as server:
        connection = await opened(server)
        for _ in range(5):
            await connection.send(three(), TO)
        await connection.close()
    assert len(server.mails) == 5
    assert len(server.sessions) == 1


async def test_a_large_mail_arrives_too(extensions: tuple[str, ...]) -> None:
    made = three(text="x" * 900_000)
    async with smtp_server(extensions=extensions) as server:
        connection = await opened(server)
        await connection.send(made, TO)
        await connection.close()
    assert server.mails[0].data == made.data


async def test_those_who_are_refused_are_told_and_the_others_get_it(extensions: tuple[str, ...]) -> None:
    rule = at("RCPT", "550 5.1.1 no such person", "bob@")
    async with smtp_server(rule, extensions=extensions) as server:
        connection = await opened(server)
        handover = await connection.send(three(), TO)
        await connection.close()
    assert handover.accepted == ("ada@example.com", "eve@example.com")
    assert [(each.address, each.code, each.text) for each in handover.refused] == [
        ("bob@example.com", 550, "5.1.1 no such person")
    ]
    assert server.mails[0].recipients == handover.accepted


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "550 5.7.1 not you"),
        ("RCPT", "450 greylisted"),
        ("RCPT", "550 nobody"),
        ("DATA", "451 no room"),
        ("DATA", "554 no"),
        ("END", "451 4.7.1 looks odd"),
        ("END", "554 5.7.1 spam"),
    ],
)
async def test_a_refusal_is_told_for_everybody_and_the_connection_goes_on(
    extensions: tuple[str, ...], verb: str, answer: str
) -> None:
    async with smtp_server(at(verb, answer), extensions=extensions) as server:
        connection = await opened(server)
        with pytest.raises(Refused) as caught:
            await connection.send(three(), TO)
        assert [(each.address, f"{each.code} {each.text}") for each in caught.value.refused] == [
            (address, answer) for address in TO
        ]
        assert connection.is_usable
        server.rule = None
        handover = await connection.send(three(), TO)
        await connection.close()
    assert handover.accepted == TO
    assert [mail.recipients for mail in server.mails] == [TO]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [DROP, HANG, "421 4.3.2 going down"])
async def test_a_connection_lost_before_the_final_dot_means_that_nothing_was_sent(
    extensions: tuple[str, ...], verb: str, answer: str
) -> None:
    async with smtp_server(at(verb, answer), extensions=extensions) as server:
        connection = await opened(server, command_seconds=0.2)
        with pytest.raises(RelayLost) as caught:
            await connection.send(three(), TO)
        assert caught.value.retriable
        assert not connection.is_usable
    assert server.mails == []


@pytest.mark.parametrize("answer", [DROP, HANG, "421 4.3.2 going down"])
async def test_a_connection_lost_after_the_final_dot_means_that_nobody_knows(
    extensions: tuple[str, ...], answer: str
) -> None:
    async with smtp_server(at("END", answer), extensions=extensions) as server:
        connection = await opened(server, data_seconds=0.2)
        with pytest.raises(OutcomeUnknown, match="after its last byte"):
            await connection.send(three(), TO)
        assert not connection.is_usable


async def test_a_server_that_stops_reading_a_large_mail_hasnt_got_it() -> None:
    def deaf(command: Command) -> None:
        if command.verb == "DATA":
            command.session.transport.pause_reading()

    async with smtp_server(deaf, extensions=("PIPELINING",)) as server:
        connection = await opened(server, data_seconds=0.3)
        with pytest.raises(RelayLost, match="took no more bytes"):
            # More than the sockets' buffers of both sides hold.
            await connection.send(
                mail(request(text="x" * 60_000_000), max_body_bytes=10**8, max_message_bytes=10**9), TO[:1]
            )


@pytest.mark.parametrize("answer", ["HTTP/1.1 400 Bad Request", "2x0 hm", "999 no such", "250"])
async def test_what_is_no_smtp_is_an_error_and_never_taken_for_consent(answer: str) -> None:
    rule = at("MAIL", answer)
    async with smtp_server(rule, extensions=PLAIN) as server:
        connection = await opened(server)
        if answer == "250":
            await connection.send(three(), TO)
            await connection.close()
        else:
            with pytest.raises(RelayLost, match="doesn't speak SMTP"):
                await connection.send(three(), TO)


async def test_a_server_without_smtputf8_gets_no_address_that_needs_it() -> None:
    made = mail(request(to=["zoë@example.com"]))
    async with smtp_server(extensions=("PIPELINING",)) as server:
        connection = await opened(server)
        with pytest.raises(Reject, match="no SMTPUTF8"):
            await connection.send(made, made.recipients)
        await connection.close()
    async with smtp_server() as server:
        connection = await opened(server)
        await connection.send(made, made.recipients)
        await connection.close()
    assert server.mails[0].recipients == ("zoë@example.com",)
    assert "SMTPUTF8" in next(line for line in server.sessions[0].commands if line.startswith("MAIL"))


async def test_a_mail_that_is_larger_than_the_server_takes_isnt_sent_at_all() -> None:
    async with smtp_server(extensions=("PIPELINING", "SIZE 1000")) as server:
        connection = await opened(server)
        with pytest.raises(Reject, match="takes at most 1,000"):
            await connection.send(three(text="x" * 2000), TO)
        await connection.close()
    assert not any(line.startswith("MAIL") for line in server.sessions[0].commands)


@pytest.mark.parametrize("greeting", ["421 too many connections", "554 go away", DROP, HANG])
async def test_a_server_that_has_no_time_is_tried_again(greeting: str) -> None:
    async with smtp_server(at("CONNECT", greeting)) as server:
        with pytest.raises(RelayLost) as caught:
            await opened(server, connect_seconds=0.3)
        assert caught.value.retriable


async def test_a_server_that_isnt_there_is_named() -> None:
    async with smtp_server() as server:
        pass
    with pytest.raises(RelayLost, match=f"127.0.0.1:{server.port}"):
        await opened(server)


async def test_a_cancelled_mail_leaves_the_connection_unusable_after_an_abort() -> None:
    there = asyncio.Event()

    def rule(command: Command) -> str | None:
        if command.verb == "END":
            there.set()
        return HANG if command.verb == "END" else None

    async with smtp_server(rule) as server:
        connection = await opened(server)
        task = asyncio.create_task(connection.send(three(), TO))
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection.abort()
        assert not connection.is_usable
