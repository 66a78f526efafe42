"""Errors: the tree in the docstring is the tree in the code, and an error survives the way to another process."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from tidemill import errors
from tidemill.errors import BufferFull, InvalidEvent, NotDelivered, RetryAfter, TidemillError

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, TidemillError)]


def drawn() -> dict[str, tuple[str | None, bool]]:
    """Name -> (parent, retriable) as the docstring of the module draws it."""
    tree: dict[str, tuple[str | None, bool]] = {}
    levels: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip(" │├└─").partition(" ")[0]
        if name not in vars(errors):
            continue
        depth = (len(line) - len(line.lstrip(" │├└─")) - 4) // 4
        levels[depth:] = [name]
        tree[name] = (levels[depth - 1] if depth else None, "(retriable)" in line)
    return tree


def test_the_drawn_tree_is_the_tree_in_the_code() -> None:
    actual = {
        cls.__name__: (None if cls is TidemillError else cls.__bases__[0].__name__, cls.retriable) for cls in CLASSES
    }
    assert drawn() == actual


def test_a_message_ends_with_what_to_do() -> None:
    error = NotDelivered("No acknowledgement.", hint="Publish it again.")
    assert str(error) == "No acknowledgement. Publish it again."
    assert (error.message, error.hint) == ("No acknowledgement.", "Publish it again.")


def test_whether_to_try_again_is_data_and_may_differ_for_one_error() -> None:
    assert BufferFull("full").retriable
    assert not BufferFull("full", retriable=False).retriable
    assert TidemillError("x", retriable=True).retriable
    assert not TidemillError("x").retriable


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls not in (InvalidEvent, RetryAfter)])
def test_an_error_survives_the_way_to_another_process(cls: type[TidemillError]) -> None:
    error = pickle.loads(pickle.dumps(cls("what", hint="next", retriable=True)))
    assert type(error) is cls
    assert (str(error), error.hint, error.retriable) == ("what next", "next", True)


def test_an_invalid_event_survives_it_too() -> None:
    error = pickle.loads(pickle.dumps(InvalidEvent("image.requested", "width", "wide", "a number")))
    assert str(error) == "image.requested: field 'width' must be a number, found 'wide' (str)."
    assert (error.event_type, error.field, error.expected) == ("image.requested", "width", "a number")


def test_a_retry_after_survives_it_too_and_says_how_long() -> None:
    error = pickle.loads(pickle.dumps(RetryAfter(90, "the shop is closed")))
    assert (error.seconds, str(error), error.retriable) == (90.0, "the shop is closed", True)
    assert str(RetryAfter(2.5)) == "Try again in 2.5 s."


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon", None])
def test_a_retry_after_needs_a_time_that_can_be_waited(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"RetryAfter needs a number of seconds, at least 0, found "):
        RetryAfter(seconds)


def test_a_large_value_is_not_shown_in_full() -> None:
    message = str(InvalidEvent("a.b", "text", "x" * 10_000, "a number"))
    assert len(message) < 200
    assert "..." in message
