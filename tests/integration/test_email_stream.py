"""The e-mail stream on a real Kafka, with a mail server that does as it is told: who gets a mail, and how often."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.email.handler import email, mailer_of, send
from tests.integration.commands import command_environment
from tests.integration.smtp_server import DROP, Command, SmtpServer, smtp_server_in_thread
from tests.integration.working import (
    Working,
    events,
    header,
    messages,
    prepare,
    until,
    until_there,
    working,
)
from tidemill import replay
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.replay.republish import republish
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Work
from tidemill.topics import apply, house_topics

TEMPLATES = Path(__file__).parents[2] / "examples/email/templates"
DEAD = EmailRequested.__contract__.dead_topic
SENT = EmailSent.__contract__.topic
RETRY = Retry(attempts=3, first=0.1, most=0.2)


@stream("email.requested", name="email", order="none", retry=RETRY)
async def quick(event: Event[EmailRequested], work: Work) -> EmailSent:
    """The stream with waits that a test can sit out."""
    return await send(event, work, RETRY)


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpServer]:
    """A mail server, and a stream that is set up for it."""
    prepare(settings, EmailRequested, EmailSent)
    apply(settings, [], house=house_topics())
    with smtp_server_in_thread() as server:
        values = {"PORT": server.port, "TEMPLATES": TEMPLATES, "GREYLIST_SECONDS": 0.1, "SENDER": "hello@example.com"}
        for name, value in values.items():
            monkeypatch.setenv(f"TIDEMILL_EMAIL_{name}", str(value))
        yield server


@asynccontextmanager
async def mailing(settings: Settings, chosen: Stream) -> AsyncIterator[Working]:
    """A worker at work, and its connections closed afterwards, as its end would."""
    async with working(settings, chosen) as worker:
        yield worker
    await mailer_of(settings).close()


def ask(settings: Settings, *requests: EmailRequested, ids: tuple[str, ...] = ()) -> None:
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        for number, request in enumerate(requests):
            publisher.publish(request, id=ids[number] if ids else None)


def note(*to: str, **more: Any) -> EmailRequested:
    return EmailRequested(to=list(to), subject="A note", text="Short.", **more)


async def test_a_mail_from_a_template_arrives_and_its_outcome_is_told(settings: Settings, server: SmtpServer) -> None:
    context = (TEMPLATES / "welcome.context.json").read_text()
    request = EmailRequested(to=["Ada <ada@example.com>"], template="welcome", context=context, locale="de")
    ask(settings, request, ids=("sign-up-1",))
    async with mailing(settings, email):
        await until_there(settings, SENT, 1)
    (mail,) = server.mails
    assert mail.recipients == ("ada@example.com",)
    assert mail.message["Subject"] == "Willkommen bei Tidemill, Ada"
    (told,) = events(settings, EmailSent, 1)
    assert told.cause == "sign-up-1"
    assert told.payload == EmailSent(
        message_id="sign-up-1@example.com",
        template="welcome",
        accepted=["ada@example.com"],
        refused=[],
        relay=f"127.0.0.1:{server.port}",
        answer="250 2.0.0 queued as 000001",
        bytes=len(mail.data),
    )


async def test_yesterdays_requests_published_again_or_replayed_send_nothing(
    settings: Settings, server: SmtpServer
) -> None:
    requests = [note(f"someone{number}@example.com") for number in range(20)]
    ids = tuple(f"yesterday-{number}" for number in range(20))
    ask(settings, *requests, ids=ids)
    async with mailing(settings, email):
        await until_there(settings, SENT, 20)
        ask(settings, *requests, ids=ids)
        await until_there(settings, SENT, 40)
        topic = EmailRequested.__contract__.topic
        again = replay.scan(topic, settings=settings)
        done = await asyncio.to_thread(republish, again, topic, name="yesterday", into_source=True)
        assert (done.events, done.complete) == (40, True)
        await until_there(settings, SENT, 80)
    assert len(server.mails) == 20
    told = [(event.cause, json.dumps(event.payload.to_record())) for event in events(settings, EmailSent, 80)]
    assert len(set(told)) == 20


async def test_the_command_sends_a_mail_and_says_what_became_of_it(settings: Settings, server: SmtpServer) -> None:
    def rule(command: Command) -> str | None:
        return "550 5.1.1 no such person" if command.verb == "RCPT" and command.path.startswith("gone@") else None

    server.rule = rule

    async def send(*arguments: str) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "tidemill", "email", "send", "--subject", "A note", "--text", "Short."]
        environment = {**os.environ, **command_environment(settings)}
        program = await asyncio.create_subprocess_exec(*command, *arguments, stdout=PIPE, env=environment)
        said, _ = await program.communicate()
        return program.returncode, said.decode()

    async with mailing(settings, email):
        partly, refused = await asyncio.gather(
            send("--to", "ada@example.com", "--cc", "gone@example.com", "--bcc", "bob@example.com"),
            send("--to", "gone@example.com", "--json"),
        )
    (mail,) = server.mails
    assert mail.recipients == ("ada@example.com", "bob@example.com")
    assert b"bob@example.com" not in mail.data
    assert partly[0] == 0
    first, second, third, fourth, fifth = partly[1].splitlines()
    assert [first, second] == ["✓ ada@example.com", "✓ bob@example.com"]
    assert third == "✗ gone@example.com: 550 5.1.1 no such person"
    size = f"{len(mail.data) / 1000:.1f} kB to 127.0.0.1:{server.port} in "
    assert re.fullmatch(rf"{re.escape(size)}\d+\.\d\d s: 250 2\.0\.0 queued as 000001", fourth)
    assert fifth == f"Message-ID <{mail.message_id}>"
    assert refused[0] == 1
    found = json.loads(refused[1])
    assert found["result"] is None
    assert "gone@example.com: 550 5.1.1 no such person" in found["failure"]


async def test_a_recipient_who_is_put_off_gets_the_mail_later_and_the_others_dont_get_it_twice(
    settings: Settings, server: SmtpServer
) -> None:
    seen: list[str] = []

    def rule(command: Command) -> str | None:
        if command.verb != "RCPT":
            return None
        seen.append(command.path)
        if command.path == "gone@example.com":
            return "550 5.1.1 no such person"
        return "451 4.7.1 greylisted" if command.path == "bob@example.com" and seen.count(command.path) < 3 else None

    server.rule = rule
    ask(settings, note("ada@example.com", "bob@example.com", cc=["gone@example.com"]))
    async with mailing(settings, quick):
        await until_there(settings, SENT, 1)
    assert [mail.recipients for mail in server.mails] == [("ada@example.com",), ("bob@example.com",)]
    assert len({mail.data for mail in server.mails}) == 1
    (told,) = events(settings, EmailSent, 1)
    assert told.payload.accepted == ["ada@example.com", "bob@example.com"]
    assert [(each.address, each.code, each.answer) for each in told.payload.refused] == [
        ("gone@example.com", 550, "5.1.1 no such person")
    ]


async def test_a_refusal_for_good_is_a_dead_letter_at_once_with_the_servers_words(
    settings: Settings, server: SmtpServer
) -> None:
    server.rule = lambda command: "550 5.1.1 no such person" if command.verb == "RCPT" else None
    ask(settings, note("nobody@example.com"))
    async with mailing(settings, email):
        await until_there(settings, DEAD, 1)
    (letter,) = messages(settings, DEAD, 1)
    assert "nobody@example.com: 550 5.1.1 no such person" in header(letter, "tm_dead_message")
    assert header(letter, "tm_dead_attempts") == "1"
    assert server.mails == []


async def test_who_is_still_put_off_after_the_last_try_is_told_beside_those_who_have_it(
    settings: Settings, server: SmtpServer
) -> None:
    server.rule = lambda command: "451 later" if command.path == "bob@example.com" and command.verb == "RCPT" else None
    ask(settings, note("ada@example.com", "bob@example.com"))
    async with mailing(settings, quick):
        await until_there(settings, SENT, 1)
    (told,) = events(settings, EmailSent, 1)
    assert told.payload.accepted == ["ada@example.com"]
    assert [(each.address, each.code) for each in told.payload.refused] == [("bob@example.com", 451)]
    assert [mail.recipients for mail in server.mails] == [("ada@example.com",)]


class LosesTheFirstAnswer:
    """Takes a mail and drops the connection before it says so, once."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def __call__(self, command: Command) -> str | None:
        if command.verb != "END":
            return None
        assert command.session.pending is not None
        self.taken.append(command.session.pending.data)
        return DROP if len(self.taken) == 1 else None


async def test_a_mail_whose_answer_is_lost_is_sent_again_as_the_same_mail(
    settings: Settings, server: SmtpServer
) -> None:
    server.rule = rule = LosesTheFirstAnswer()
    ask(settings, note("ada@example.com"))
    async with mailing(settings, quick):
        await until_there(settings, SENT, 1)
    assert len(rule.taken) == 2
    assert len(set(rule.taken)) == 1


async def test_a_mail_whose_answer_is_lost_is_held_for_a_person_where_the_setting_says_so(
    settings: Settings, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_EMAIL_UNKNOWN", "hold")
    server.rule = rule = LosesTheFirstAnswer()
    ask(settings, note("ada@example.com"))
    async with mailing(settings, quick) as worker:
        await until_there(settings, DEAD, 1)
        await until(lambda: worker.finished == 1, "the event is done with")
    (letter,) = messages(settings, DEAD, 1)
    assert header(letter, "tm_dead_error").endswith("EffectHeld")
    assert len(rule.taken) == 1
