"""Bytes that are no events: each becomes a dead letter with its bytes intact, and the partition moves on."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    dead_letters,
    encoded,
    header,
    lag,
    prepare,
    produce,
    until,
    working,
)
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event, derived_id
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work


def garbage(settings: Settings) -> dict[str, tuple[bytes | None, str]]:
    """Values that can't be decoded, and what their dead letters say."""
    good = encoded(settings, StepAsked(lane="a", number=1, note="good"))
    schema_id = int.from_bytes(good[1:5], "big")
    with Registry(settings) as registry:
        enum = {"type": "enum", "name": "Colour", "symbols": ["red"]}
        other = registry.register("colours-value", json.dumps(enum)).schema_id
    return {
        "noise": (b"\xde\xad\xbe\xef noise", "doesn't start with the Confluent wire format"),
        "wrong magic": (b"\x01" + good[1:], "it starts with 01"),
        "text": (b'{"lane": "a"}', "doesn't start with the Confluent wire format"),
        "too short": (b"\x00\x00\x01", "(3 bytes)"),
        "unknown schema": (struct.pack(">bI", 0, 2_000_000_000) + good[5:], "2000000000"),
        "another schema": (struct.pack(">bI", 0, other) + b"\x00", f"Schema {other}"),
        "truncated": (good[:-2], f"doesn't fit schema {schema_id}"),
        "trailing": (good + b"more", f"4 bytes follow the event of schema {schema_id}"),
        "a length that lies": (good[:5] + b"\xfe\xff\xff\xff\x0f", f"doesn't fit schema {schema_id}"),
        "not UTF-8": (good[:5] + b"\x04\xff\xfe\x02\x00", f"doesn't fit schema {schema_id}"),
        "empty": (b"", "it starts with nothing (0 bytes)"),
        "a tombstone": (None, "There is no value (a tombstone); expected a step.asked"),
    }


async def test_garbage_among_good_events_becomes_dead_letters_with_the_bytes_intact(settings: Settings) -> None:
    prepare(settings)
    bad = garbage(settings)
    good = encoded(settings, StepAsked(lane="a", number=1))
    seen = 0

    @stream("step.asked", name="careful")
    async def careful(event: Event[StepAsked]) -> None:
        nonlocal seen
        seen += 1

    for value, _ in bad.values():
        produce(settings, [good, value, good], key=b"\xff\x00 not text", headers=[("which", b"one")])
    async with working(settings, careful) as worker:
        letters = await dead_letters(settings, len(bad))
        await until(lambda: seen == 2 * len(bad), "the good events are handled")
        assert await worker.stop() == 0
    assert lag(settings, careful) == 0
    assert [letter.value() for letter in letters] == [value for value, _ in bad.values()]
    for letter, (name, (_, message)) in zip(letters, bad.items(), strict=True):
        assert letter.key() == b"\xff\x00 not text"
        assert header(letter, "which") == "one"
        assert message in header(letter, "tm_dead_message"), name
        assert header(letter, "tm_dead_error") == "tidemill.errors.DecodeError", name
        assert header(letter, "tm_dead_attempts") == "0", name


async def test_garbage_in_a_batch_takes_no_good_event_with_it(settings: Settings) -> None:
    prepare(settings)
    bad = garbage(settings)
    good = [encoded(settings, StepAsked(lane="a", number=number)) for number in range(40)]
    seen: list[int] = []

    @stream("step.asked", name="gathering", batch=10)
    async def gathering(events: list[Event[StepAsked]]) -> list[StepDone]:
        seen.extend(event.payload.number for event in events)
        return [StepDone(lane="a", number=event.payload.number) for event in events]

    mixed: list[bytes | None] = [*good]
    for place, (value, _) in enumerate(bad.values()):
        mixed.insert(place * 3, value)
    produce(settings, mixed, key=b"a")
    async with working(settings, gathering) as worker:
        letters = await dead_letters(settings, len(bad))
        await until(lambda: worker.finished == len(mixed), "everything is through")
        assert await worker.stop() == 0
    assert [letter.value() for letter in letters] == [value for value, _ in bad.values()]
    assert seen == list(range(40))
    assert lag(settings, gathering) == 0


PRODUCE_BAD_HEADER = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class NotUtf8(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def main(bootstrap, topic, value):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        headers = [(NotUtf8("name"), b"1"), ("good", b"2")]
        await producer.send_and_wait(topic, bytes.fromhex(value), key=b"a", headers=headers, partition=0)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_header_names_that_are_not_utf8_harm_nobody(settings: Settings) -> None:
    prepare(settings)
    values = [encoded(settings, StepAsked(lane="a", number=number)) for number in range(3)]
    produce(settings, values[:1], key=b"a")
    # Read often enough that the interpreter specialises the calls that read them.
    produce(settings, [values[0]] * 200, key=b"a", headers=[("name", b"1")])
    arguments = [settings.bootstrap_servers, settings.qualified("step.asked"), values[1].hex()]
    # Only aiokafka's Python code can be made to write such a name.
    variables = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", PRODUCE_BAD_HEADER, *arguments], env=variables, check=True, timeout=60
    )
    produce(settings, values[2:], key=b"a")
    ids: list[str] = []

    @stream("step.asked", name="reading", retry=Retry(attempts=3, first=0.01))
    async def reading(event: Event[StepAsked], work: Work) -> StepDone:
        ids.append(event.id)
        if event.payload.number == 1:
            raise ValueError(f"try {work.attempt}")
        return StepDone(lane="a", number=event.payload.number)

    async with working(settings, reading) as worker:
        await until(lambda: worker.finished == 203, "all events are through")
        assert await worker.stop() == 0
    assert len(ids) == 205
    # An envelope that can't be read is none: the id comes from the event's place, as with foreign events.
    assert ids[201:204] == [derived_id(f"{settings.qualified('step.asked')}/0/201", "foreign")] * 3
    (letter,) = await dead_letters(settings, 1)
    assert letter.value() == values[1]
    assert header(letter, "tm_dead_offset") == "201"
    assert lag(settings, reading) == 0
