"""Which installed streams take an event type, told from their source text alone.

A scheduler must not need what streams need (Pillow, Faust), so no stream's module is imported: its file is found, and
the `@stream("...")` before the function read. Importing the packages that the module lies in can't be avoided.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "tidemill.streams"


def installed_takers(event_type: str) -> list[str]:
    """Names of the installed streams that take an event type, sorted.

    A stream whose declaration can't be read from its text (made in a loop, its type a variable) is not among them.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    return sorted(name for name, point in points.items() if declared_type(point) == event_type)


@cache
def declared_type(point: EntryPoint) -> str | None:
    """The event type that a stream's decorator names as a literal; None if that can't be told without running it."""
    try:
        spec = find_spec(point.module)
        if spec is None or spec.origin is None or not spec.has_location:
            return None
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (ImportError, AttributeError, ValueError, SyntaxError, OSError):
        return None  # what can't be found or read can't be told; the caller then asks for the stream's name
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == point.attr:
            return next(filter(None, map(_stream_argument, node.decorator_list)), None)
    return None


def _stream_argument(decorator: ast.expr) -> str | None:
    if not isinstance(decorator, ast.Call):
        return None
    function = decorator.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    named = [keyword.value for keyword in decorator.keywords if keyword.arg == "event"]
    arguments = [*decorator.args[:1], *named]
    if name != "stream" or not arguments or not isinstance(arguments[0], ast.Constant):
        return None
    value = arguments[0].value
    return value if isinstance(value, str) else None
