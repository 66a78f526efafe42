"""Bytes that are no events: each becomes a dead letter with its bytes intact, and the partition moves on."""

from __future__ import annotations

import json
import struct

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
from tidemill.event import Event
from tidemill.runtime.stream import stream


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
