"""What @stream takes, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tidemill import Event, StreamError, Work, stream
from tidemill.events import ImageProcessed, ImageRequested
from tidemill.runtime.discover import load_streams


async def waits(event: Event[ImageRequested]) -> ImageProcessed | None:
    return None


def blocks(event: Event[ImageRequested], work: Work) -> Iterator[ImageProcessed]:
    yield from ()


def many(events: list[Event[ImageRequested]]) -> None:
    return None


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
        (waits, {"timeout": 0}, "timeout must be more than 0"),
        (waits, {"memory_bytes": 10**9}, "memory_bytes needs executor='process'"),
        (waits, {"batch": 10}, r"must be annotated list\[Event\[...\]\]"),
        (many, {}, r"must be annotated Event\[...\]"),
        (untyped, {}, "must be annotated"),
        (lambda: None, {"name": "empty"}, "must take"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(handler: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(StreamError, match=says):
        stream("image.requested", **options)(handler)


def test_a_type_other_than_the_parameter_s_is_refused() -> None:
    with pytest.raises(StreamError, match="its parameter is an event of type"):
        stream("image.processed")(waits)


def test_an_unknown_stream_is_refused_with_what_might_be_meant() -> None:
    with pytest.raises(StreamError, match="Did you mean 'image'") as refused:
        load_streams(["imag"])
    assert "Installed are: image" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:x", "can't be imported"),
        ("tidemill.errors:nothing", "has no 'nothing'"),
        ("tidemill.errors:Reject", "not a stream"),
    ],
)
def test_what_is_no_stream_is_refused(name: str, says: str) -> None:
    with pytest.raises(StreamError, match=says):
        load_streams([name])


one = stream("image.requested", name="same")(waits)
two = stream("image.requested", name="same")(waits)


def test_two_streams_of_one_name_are_refused() -> None:
    with pytest.raises(StreamError, match="Two streams are named 'same'"):
        load_streams([f"{__name__}:one", f"{__name__}:two"])
