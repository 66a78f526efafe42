"""What @stream takes, and what it refuses."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tidemill import Event, StreamError, Work, stream
from tidemill.events import ImageProcessed, ImageRequested
from tidemill.runtime.stream import default_concurrency

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


async def waits(event: Event[ImageRequested]) -> ImageProcessed | None:
    return None


def blocks(event: Event[ImageRequested], work: Work) -> Iterator[ImageProcessed]:
    yield from ()


def many(events: list[Event[ImageRequested]]) -> None:
    return None


async def batch_with_work(events: list[Event[ImageRequested]], work: Work) -> list[ImageProcessed]:
    return []


async def generates(event: Event[ImageRequested]) -> AsyncIterator[ImageProcessed]:
    if event.key:
        yield ImageProcessed  # type: ignore[misc]


def three(event: Event[ImageRequested], work: Work, more: int) -> None: ...


def keyword(event: Event[ImageRequested], *, work: Work) -> None: ...


def starred(*events: Event[ImageRequested]) -> None: ...


def bare(event: Event) -> None: ...  # type: ignore[type-arg]


def payload_alone(event: ImageRequested) -> None: ...


def of_text(event: Event[str]) -> None: ...


def unresolved(event: Event[Nowhere]) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Shop:
    def handles(self, event: Event[ImageRequested]) -> None: ...


def untyped(event):  # type: ignore[no-untyped-def]
    return event


def test_what_is_not_said_follows_from_the_function() -> None:
    one, other = stream("image.requested")(waits), stream("image.requested")(blocks)
    assert (one.name, one.executor, one.takes_work, one.group) == ("waits", "async", False, "tidemill.waits")
    assert (other.executor, other.takes_work, other.log_each) == ("thread", True, True)
    assert one.outputs == other.outputs == (ImageProcessed,)
    assert (one.topic, one.event_type) == ("image.requested", "image.requested")


def test_a_stream_can_be_called_as_its_function() -> None:
    assert stream("image.requested", batch=10)(many)([]) is None


@pytest.mark.parametrize(
    ("handler", "options", "says"),
    [
        (waits, {"executor": "thread"}, "can't run with executor='thread'"),
        (blocks, {"executor": "async"}, "can't run with executor='async'"),
        (waits, {"name": "No Name"}, "can't name a stream"),
        (waits, {"order": "sometimes"}, "order must be 'key' or 'none'"),
        (waits, {"concurrency": 0}, "concurrency must be a whole number, at least 1"),
        (waits, {"room": 0}, "room must be a whole number, at least 1"),
        (waits, {"room_bytes": 1.5}, "room_bytes must be a whole number, at least 1, found 1.5"),
        (waits, {"concurrency": True}, "concurrency must be a whole number, at least 1, found True"),
        (many, {"batch": -1}, "batch must be a whole number, at least 1, found -1"),
        (blocks, {"executor": "process", "memory_bytes": 0}, "memory_bytes must be a whole number, at least 1"),
        (waits, {"executor": "fiber"}, "executor must be one of async, inline, thread, process, found 'fiber'"),
        (waits, {"executor": "inline"}, "can't run with executor='inline'"),
        (waits, {"name": "a" * 65}, "at most 64 of them"),
        (waits, {"name": "7th"}, "'7th' can't name a stream"),
        (waits, {"timeout": 0}, "timeout must be more than 0"),
        (waits, {"timeout": -1.5}, "timeout must be more than 0 seconds, or None, found -1.5"),
        (waits, {"timeout": math.nan}, "timeout must be more than 0 seconds, or None, found nan"),
        (waits, {"timeout": math.inf}, "timeout must be more than 0 seconds, or None, found inf"),
        (waits, {"memory_bytes": 10**9}, "memory_bytes needs executor='process'"),
        (waits, {"batch": 10}, r"must be annotated list\[Event\[...\]\]"),
        (many, {}, r"must be annotated Event\[...\]"),
        (untyped, {}, "must be annotated"),
        (bare, {}, r"must be annotated Event\[...\]"),
        (payload_alone, {}, r"must be annotated Event\[...\]"),
        (of_text, {}, r"with an event class, found event: .*Event\[str\]"),
        (unresolved, {}, "annotations can't be resolved: NameError: name 'Nowhere' is not defined"),
        (lambda: None, {"name": "empty"}, "must take"),
        (three, {}, r"must take \(event\) or \(event, work\), found \(event"),
        (keyword, {}, "must take"),
        (starred, {}, "must take"),
        (generates, {}, "is an async generator; nobody would run it to its end"),
        (Shop, {}, "goes onto a function, found <class"),
        (Shop().handles, {}, "goes onto a function, found <bound method"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(handler: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(StreamError, match=says):
        stream("image.requested", **options)(handler)


def test_a_refusal_names_the_function_and_its_module() -> None:
    with pytest.raises(StreamError, match=f"^{__name__}:waits: order must be"):
        stream("image.requested", order="sometimes")(waits)  # type: ignore[arg-type]


def test_the_decorator_without_its_event_type_says_how_it_is_written() -> None:
    with pytest.raises(StreamError, match=r"@stream needs the type of its events.*Write @stream\('image.requested'\)"):
        stream(waits)  # type: ignore[arg-type]


def test_a_function_that_is_a_stream_already_is_refused() -> None:
    with pytest.raises(StreamError, match="goes onto a function, found Stream"):
        stream("image.requested")(stream("image.requested")(waits))


@pytest.mark.parametrize(
    ("handler", "options", "concurrency", "log_each"),
    [
        (waits, {}, 64, False),
        (blocks, {}, 8, True),
        (blocks, {"executor": "inline"}, 1, False),
        (blocks, {"executor": "process"}, PROCESSORS, True),
        (blocks, {"concurrency": 3, "log_each": False}, 3, False),
        (waits, {"log_each": True}, 64, True),
    ],
)
def test_the_executor_decides_how_many_run_at_once_and_whether_each_is_logged(
    handler: Any, options: dict[str, Any], concurrency: int, log_each: bool
) -> None:
    declared = stream("image.requested", **options)(handler)
    assert (declared.concurrency, declared.log_each) == (concurrency, log_each)


def test_where_the_system_does_not_tell_a_process_its_share_all_processors_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert default_concurrency("process") == 6


def test_a_batch_may_take_its_work_along() -> None:
    declared = stream("image.requested", batch=500)(batch_with_work)
    assert (declared.batch, declared.takes_work, declared.payload) == (500, True, ImageRequested)
    assert declared.outputs == (ImageProcessed,)


def test_a_type_other_than_the_parameter_s_is_refused() -> None:
    with pytest.raises(StreamError, match="its parameter is an event of type"):
        stream("image.processed")(waits)


@pytest.mark.parametrize("options", [{"retry": 5}, {"timeout": "60"}])
def test_an_option_of_another_kind_is_refused_when_the_stream_is_declared(options: dict[str, Any]) -> None:
    with pytest.raises(StreamError, match=r"must be .*found"):
        stream("image.requested", **options)(waits)
