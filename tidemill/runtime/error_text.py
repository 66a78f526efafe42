"""What an exception says, whatever it is. Handlers raise anything, also exceptions that can't be turned into text."""

from __future__ import annotations

import traceback

BRIEF_CHARACTERS = 500


def class_of(error: BaseException) -> str:
    """The exception's class with its module, which is left out for Python's own."""
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def text_of(error: BaseException) -> str:
    """The exception's message; the name of its class where it has none or can't tell."""
    try:
        return str(error) or type(error).__name__
    except BaseException as raised:  # noqa: BLE001 - its __str__ is a handler's code like any other
        return f"{type(error).__name__}, whose __str__ raises {type(raised).__name__}"


def brief(error: BaseException) -> str:
    """Class and message in one short line, for a log."""
    return f"{type(error).__qualname__}: {text_of(error)}"[:BRIEF_CHARACTERS]


def formatted_trace(error: BaseException) -> str:
    """The traceback with its chain of causes."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as raised:  # noqa: BLE001 - as in `text_of`
        return f"{brief(error)}\n(its traceback can't be shown: {type(raised).__name__})\n"
