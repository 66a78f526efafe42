"""The dead-letter desk in a test: its commands as a person types them, and streams whose handlers a test scripts."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
import typer
from confluent_kafka import Message, Producer
from typer.testing import CliRunner, Result

from consumers.deadletters.command import register
from consumers.deadletters.topics import TOPICS
from scheduler.log import read_log
from tests.integration.commands import command_environment
from tests.integration.steps import StepAsked
from tests.integration.working import ASKED, DEAD, prepare, settle
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime import deadletter
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Work
from tidemill.topics import apply

ONCE = Retry(attempts=1)


class Desk:
    """`tidemill dead` with these settings.

    Args:
        settings: Of the test.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._app = typer.Typer(rich_markup_mode=None)
        register(self._app)
        self.environment = command_environment(settings)

    def __call__(self, *arguments: str, exit_code: int = 0, **environment: str) -> Result:
        """Run `tidemill dead ARGUMENTS`; fails where it ends otherwise."""
        with _logging_as_before():
            result = CliRunner().invoke(self._app, ["dead", *arguments], env={**self.environment, **environment})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    def json(self, *arguments: str, exit_code: int = 0, **environment: str) -> Any:
        """What it prints as JSON."""
        printed = self(*arguments, "--json", exit_code=exit_code, **environment).stdout
        # A worker of the same process may log between.
        begin = re.search(r"^(\{|\[)(\]|\})?$", printed, re.MULTILINE)
        assert begin is not None, printed
        return json.JSONDecoder().raw_decode(printed, begin.start())[0]

    def counts(self) -> dict[str, int]:
        """Letters by state."""
        states = ("open", "redriven", "resolved", "returned", "discarded", "expired", "duplicate")
        found = self.json("list", *(part for state in states for part in ("--state", state)))
        counts: dict[str, int] = {}
        for group in found["groups"]:
            counts[group["state"]] = counts.get(group["state"], 0) + group["letters"]
        return counts

    def settled(self) -> dict[str, int]:
        """Letters by state, for `wait_until`; empty while something is under way."""
        found = self.counts()
        return {} if "redriven" in found else found


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """A command sends all logs of its process to standard error; the next test's process is the same one."""
    root, ours = logging.getLogger(), logging.getLogger("tidemill")
    before = (root.handlers[:], root.level, ours.level, broker.logger.level)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level, ours.level, broker.logger.level = before


def ready(settings: Settings) -> Desk:
    """A desk with the topics that it needs."""
    prepare(settings, StepAsked)
    apply(settings, [], house=TOPICS)
    return Desk(settings)


class Script:
    """A handler that fails at what a test names, and keeps what it was given.

    Args:
        name: Of its stream.
    """

    def __init__(self, name: str) -> None:
        self.seen: list[tuple[str, int, str]] = []
        """Lane, number and id, in the order in which they were tried."""
        self.fails: set[int] = set()
        self.attempts: list[int] = []
        self.charged: list[str] = []
        """Ids, as often as the effect that is to happen once was done."""
        self.gates: dict[int, asyncio.Event] = {}
        """What its tries wait for, by number."""

        @stream(ASKED, name=name, retry=ONCE)
        async def scripted(event: Event[StepAsked], work: Work) -> None:
            asked = event.payload

            async def charge() -> None:
                self.charged.append(event.id)

            await work.once("charge", charge, policy="again")
            self.seen.append((asked.lane, asked.number, event.id))
            self.attempts.append(event.attempt)
            if asked.number in self.gates:
                await self.gates[asked.number].wait()
            if asked.number in self.fails:
                raise ValueError(f"step {asked.number} of {asked.lane!r} can't be done")

        self.stream: Stream = scripted


def letters(settings: Settings, values: Iterable[bytes], *, stream_name: str = "one") -> None:
    """Write letters as a worker would, whose events lay in partition 0 of the steps' topic."""
    said = [
        (deadletter.STREAM, stream_name.encode()),
        (deadletter.HANDLER, b"shop:one"),
        (deadletter.ERROR, b"ValueError"),
        (deadletter.TOPIC, settings.qualified(ASKED).encode()),
        (deadletter.PARTITION, b"0"),
    ]
    raw(
        settings,
        DEAD,
        [
            (
                b"key-%d" % (number % 7),
                value,
                [
                    ("ce_id", b"event-%d" % number),
                    *said,
                    (deadletter.OFFSET, b"%d" % number),
                    (deadletter.MESSAGE, b"step %d failed" % number),
                ],
            )
            for number, value in enumerate(values)
        ],
    )


def raw(
    settings: Settings,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]],
) -> None:
    """Write records as they are: key, value and headers."""
    config = {**broker.client_config(settings), "partitioner": broker.PARTITIONER, "message.max.bytes": 2_000_000}
    producer = Producer(config)
    for key, value, headers in records:
        producer.produce(settings.qualified(topic), value, key, headers=list(headers))
        producer.poll(0)
    assert producer.flush(30) == 0


def put_back(settings: Settings) -> list[Message]:
    """What was put back on the steps' topic, by partition and offset."""
    settle(settings, ASKED)
    found = [each for each in read_log(settings, ASKED) if "tm_redrive" in dict(each.headers() or ())]
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
