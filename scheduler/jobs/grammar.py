"""What an expression may use: the constructs, filters, tests, variables and attributes, and operators with a bound.

Everything here is free of chance, clock and surroundings, and costs no more than in proportion to its operands.
Whatever could make much of little (repeating a text, padding, formatting to a width) is refused, or bounded first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import SecurityError

VARIABLES = ("job", "scheduled_at", "interval_start", "interval_end", "sequence", "missed", "manual")
LARGEST_TEXT = 100_000
"""Characters of a text on the way to the result; also the most elements of a list."""
LARGEST_BITS = 4_096
"""Bits of a whole number on the way to the result."""

NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Call,
    nodes.Filter,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Concat,
    nodes.CondExpr,
)
TESTS = frozenset({"defined", "undefined", "none", "number", "string", "odd", "even", "true", "false"})

_DATE = {
    "year",
    "month",
    "day",
    "weekday",
    "isoweekday",
    "isocalendar",
    "isoformat",
    "strftime",
    "replace",
    "toordinal",
}
_TIME = {"hour", "minute", "second", "microsecond", "tzinfo", "utcoffset", "tzname", "isoformat", "strftime", "replace"}
ATTRIBUTES: tuple[tuple[type, set[str]], ...] = (
    (datetime, _DATE | _TIME | {"date", "time", "timestamp"}),
    (date, _DATE),
    (time, _TIME),
    (timedelta, {"days", "seconds", "microseconds", "total_seconds"}),
    (type(date.min.isocalendar()), {"year", "week", "weekday"}),
    (str, {"lower", "upper", "title", "strip", "removeprefix", "removesuffix", "startswith", "endswith"}),
)
"""Attributes and methods, by the type that offers them."""


def add_bounded(left: Any, right: Any) -> Any:
    """`left + right`; SecurityError if that makes a text or list too long."""
    _bound(_length(left) + _length(right))
    return left + right


def multiply_bounded(left: Any, right: Any) -> Any:
    """`left * right`; SecurityError if a text or list is repeated, or a number becomes too large."""
    for value in (left, right):
        if isinstance(value, (str, bytes, list, tuple)):
            raise SecurityError("texts and lists can't be multiplied")
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > LARGEST_BITS:
        raise SecurityError("the number gets too large")
    return left * right


def modulo_bounded(left: Any, right: Any) -> Any:
    """`left % right` of numbers; SecurityError for texts, where it would format."""
    if isinstance(left, (str, bytes)):
        raise SecurityError("% formats no texts here; put {{ }} into the text, or use ~ to join")
    return left % right


def call_bounded(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of an allowed method; SecurityError for what it may not be given."""
    if method.__name__ == "strftime" and any(len(str(each)) > 200 for each in (*args, *kwargs.values())):
        raise SecurityError("strftime takes at most 200 characters here")
    return method(*args, **kwargs)


def _replace(text: str, old: str, new: str) -> str:
    if not isinstance(text, str) or not old:
        raise SecurityError("replace takes a text, what to replace in it (not empty), and by what")
    _bound(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _round(number: float, digits: int = 0) -> float:
    return round(number, max(-20, min(digits, 20)))


def _default(value: Any, other: Any) -> Any:
    return other if value is None or isinstance(value, Undefined) else value


def _string(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        raise SecurityError("string takes numbers, dates and texts, no lists")
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "default": _default,
    "float": float,
    "int": int,
    "length": len,
    "lower": lambda text: str(text).lower(),
    "replace": _replace,
    "round": _round,
    "string": _string,
    "title": lambda text: str(text).title(),
    "trim": lambda text: str(text).strip(),
    "upper": lambda text: str(text).upper(),
}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else 0


def _bound(length: int) -> None:
    if length > LARGEST_TEXT:
        raise SecurityError(f"a text or list gets longer than {LARGEST_TEXT:,}")
