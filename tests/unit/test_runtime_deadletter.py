"""Dead letters: the event untouched, the reason beside it, and all of it within its room."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.steps import StepAsked
from tests.unit.sample_message import SampleMessage
from tidemill.broker import HEADROOM_BYTES
from tidemill.errors import DecodeError, HandlerTimeout, Reject
from tidemill.event import Event
from tidemill.runtime import deadletter
from tidemill.runtime.deadletter import MESSAGE_BYTES, NAME_BYTES, TRACE_BYTES, DeadLetter, dead_letter
from tidemill.runtime.executors.child import RemoteTrace
from tidemill.runtime.stream import stream


@stream("step.asked", name="steps")
async def handle(event: Event[StepAsked]) -> None: ...


def letter(error: BaseException, message: SampleMessage | None = None, attempts: int = 3) -> DeadLetter:
    return dead_letter("step.asked.dead", message or SampleMessage(), handle, error, attempts)


def facts(dead: DeadLetter) -> dict[str, str]:
    return {name: value.decode() for name, value in dead.headers if name.startswith(deadletter.PREFIX)}


def raised(error: BaseException, frames: int = 0) -> BaseException:
    """The error with a traceback of so many frames more than its own."""

    def go_on(left: int) -> None:
        if left:
            go_on(left - 1)
            return
        raise error

    try:
        go_on(frames)
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it is what was asked for
        return caught
    raise AssertionError("nothing was raised")


def test_key_value_and_headers_are_those_of_the_event_byte_for_byte() -> None:
    headers: list[tuple[str, Any]] = [
        ("ce_id", b"018f"),
        ("twice", b"first"),
        ("twice", b"second"),
        ("not utf-8", b"\xff\x00\xfe"),
        ("without a value", None),
        ("", b"without a name"),
    ]
    dead = letter(
        ValueError("no"), SampleMessage(with_key=b"\xff\x00", with_value=b"\x00\xff" * 9, with_headers=headers)
    )
    assert (dead.topic, dead.key, dead.value, dead.id) == ("step.asked.dead", b"\xff\x00", b"\x00\xff" * 9, "018f")
    assert dead.headers[: len(headers)] == headers


def test_it_says_what_happened_where_and_how_often() -> None:
    before = datetime.now(UTC)
    message = SampleMessage(41, in_partition=3, timestamp_ms=1_750_000_000_999)
    said = facts(letter(raised(ValueError("no such lane")), message, attempts=5))
    assert said.pop("tm_dead_trace").splitlines()[-1] == "ValueError: no such lane"
    assert before <= datetime.fromisoformat(said.pop("tm_dead_time")) <= datetime.now(UTC)
    assert said == {
        "tm_dead_error": "ValueError",
        "tm_dead_message": "no such lane",
        "tm_dead_attempts": "5",
        "tm_dead_stream": "steps",
        "tm_dead_handler": f"{__name__}:handle",
        "tm_dead_topic": "step.asked",
        "tm_dead_partition": "3",
        "tm_dead_offset": "41",
        "tm_dead_timestamp": "1750000000999",
    }


def test_a_tombstone_without_key_or_headers_has_a_dead_letter_too() -> None:
    dead = letter(DecodeError("There is no value."), SampleMessage(with_key=None, with_value=None), attempts=0)
    untouched: tuple[Any, ...] = (dead.key, dead.value, dead.id)
    assert untouched == (None, None, "")
    assert facts(dead)["tm_dead_attempts"] == "0"


def test_its_size_counts_what_is_there_and_takes_what_is_missing_for_nothing() -> None:
    bare = DeadLetter(id="", topic="t", key=None, value=None, headers=[])  # type: ignore[arg-type]
    assert bare.size_bytes == 0
    headers: Any = [("name", None), ("other", b"12")]
    assert DeadLetter(id="", topic="t", key=b"123", value=b"1", headers=headers).size_bytes == 3 + 1 + 4 + 5 + 2


def test_the_class_is_named_with_its_module_except_for_pythons_own() -> None:
    assert facts(letter(KeyError("k")))["tm_dead_error"] == "KeyError"
    assert facts(letter(HandlerTimeout("late")))["tm_dead_error"] == "tidemill.errors.HandlerTimeout"


def test_the_next_step_of_our_own_errors_is_told_and_an_empty_trace_is_not_invented() -> None:
    said = facts(letter(HandlerTimeout("The handler ran longer than 2 s.", hint="Give it more.")))
    assert said["tm_dead_message"] == "The handler ran longer than 2 s. Give it more."
    assert said["tm_dead_trace"] == ""


def test_the_trace_of_a_chain_shows_the_first_cause() -> None:
    error = Reject("the picture is broken")
    error.__cause__ = raised(OSError("no such file"))
    trace = facts(letter(raised(error)))["tm_dead_trace"]
    assert trace.index("OSError: no such file") < trace.index("Reject: the picture is broken")


def test_of_an_error_in_a_process_the_trace_is_that_of_the_process() -> None:
    error = ValueError("no")
    error.__cause__ = RemoteTrace("Traceback of the process\nValueError: no\n")
    assert facts(letter(raised(error)))["tm_dead_trace"] == "Traceback of the process\nValueError: no\n"


def test_a_long_message_is_cut_at_a_whole_character_and_says_so() -> None:
    for padding in range(4):
        text = facts(letter(ValueError("x" * padding + "\N{WATER WAVE}" * 5_000)))["tm_dead_message"]
        assert text.endswith("\N{WATER WAVE}...")
        assert MESSAGE_BYTES - 7 <= len(text.encode()) <= MESSAGE_BYTES


def test_a_message_that_just_fits_is_whole() -> None:
    assert facts(letter(ValueError("x" * MESSAGE_BYTES)))["tm_dead_message"] == "x" * MESSAGE_BYTES


def test_of_a_long_trace_the_beginning_and_the_end_are_kept() -> None:
    error = ValueError("é" * 20_000)
    trace = facts(letter(raised(error, frames=3)))["tm_dead_trace"]
    assert trace.startswith("Traceback (most recent call last)")
    assert "in raised" in trace
    assert "\n  [...]\n" in trace
    assert trace.rstrip().endswith("é")
    assert len(trace.encode()) <= TRACE_BYTES


def test_a_long_class_name_is_cut() -> None:
    assert len(facts(letter(type("E" * 5_000, (Exception,), {})("no")))["tm_dead_error"]) == NAME_BYTES


def test_whatever_it_tells_stays_within_the_room_that_dead_letters_have() -> None:
    worst = raised(type("É" * 60_000, (Exception,), {})("é" * 100_000), frames=50)
    message = SampleMessage(2**62, in_partition=2**31 - 1, in_topic="t" * 249)
    dead = letter(worst, message, attempts=10**6)
    added = dead.size_bytes - len(message.with_key or b"") - len(message.with_value or b"")
    assert 20_000 < added < HEADROOM_BYTES


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I don't talk")


class NoText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class EndsIt(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ValueError(), "ValueError"),
        (lambda: Mute(), "Mute, whose __str__ raises RuntimeError"),
        (lambda: NoText(), "NoText, whose __str__ raises TypeError"),
        (lambda: EndsIt(), "EndsIt, whose __str__ raises SystemExit"),
        (lambda: ValueError("caf\udce9.jpg"), "caf?.jpg"),
        (lambda: ValueError("zero \0 byte"), "zero \0 byte"),
        (lambda: KeyboardInterrupt(), "KeyboardInterrupt"),
        (lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]), "several (2 sub-exceptions)"),
    ],
    ids=["empty", "mute", "number", "exits", "surrogate", "zero byte", "no Exception", "group"],
)
def test_an_error_that_can_hardly_be_told_is_told_all_the_same(make: Callable[[], BaseException], message: str) -> None:
    said = facts(letter(raised(make())))
    assert said["tm_dead_message"] == message
    assert said["tm_dead_trace"]


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert "ValueError: one" in facts(letter(raised(one)))["tm_dead_trace"]
