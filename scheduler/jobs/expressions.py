"""`{{ expressions }}` in a job's payload, key and subject: a small, closed part of Jinja2's language.

Relies on Jinja2's sandbox and lets through only what is listed in `grammar.py`: values, arithmetic, comparison, a few
filters, and methods of dates and texts. No statements, no functions, nothing that differs from one try to the next.
Must never run for longer than its text is long, nor grow without bound, whoever wrote the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError

from scheduler.jobs.grammar import FILTERS, NODES, TESTS, VARIABLES
from scheduler.jobs.sandbox import Method, Sandbox, iso_text
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError

LONGEST_SOURCE = 2_000
"""Characters of one text with expressions."""
MOST_RESULT_BYTES = 100_000
"""Size of all that one rendering gives."""
DEEPEST = 20
"""Levels of lists and tables in a payload, and again in what an expression gives."""

_VALUES = (str, int, float, date, time, timedelta, type(None))


class ExpressionError(ConfigError):
    """A text with expressions can't be read, or fails when it is worked out."""


def render_value(value: Any, variables: Mapping[str, Any]) -> Any:
    """A copy of JSON data with its expressions worked out.

    A text that is exactly one `{{ expression }}` becomes its value, of whatever type; other texts stay texts.

    Args:
        value: Text, or lists and dicts of values.
        variables: What the expressions may name.

    Raises:
        ExpressionError: An expression can't be read, fails, or the result is over 100 kB.
    """
    return _Rendering(variables).value(value, 0)


def render_text(source: str, variables: Mapping[str, Any]) -> str | None:
    """A text with its expressions worked out; None if it is one expression and gives None.

    Raises:
        ExpressionError: An expression can't be read, fails, or the result is over 100 kB.
    """
    value = render_value(source, variables)
    if value is None or isinstance(value, str):
        return value
    return str(iso_text(value))


class _Rendering:
    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._bytes = 0

    def value(self, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise ExpressionError(f"It has more than {DEEPEST} levels of lists and tables.")
        if isinstance(value, str):
            worked_out = _compile(value)(self._variables) if "{" in value else value
            self._measure(worked_out)
            return worked_out
        if isinstance(value, dict):
            return {name: self.value(each, depth + 1) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each, depth + 1) for each in value]
        self._measure(value)
        return value

    def _measure(self, value: Any) -> None:
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        if isinstance(parts, (list, tuple)):
            for each in parts:
                self._measure(each)
        self._bytes += len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 8
        if self._bytes > MOST_RESULT_BYTES:
            raise ExpressionError(
                f"The result is larger than {MOST_RESULT_BYTES:,} bytes.",
                hint="An event says where data is, it doesn't carry it: emit an address.",
            )


_ENVIRONMENT = Sandbox()


@lru_cache(maxsize=20_000)
def _compile(source: str) -> Callable[[Mapping[str, Any]], Any]:
    if len(source) > LONGEST_SOURCE:
        raise ExpressionError(f"A text with expressions has {len(source)} characters, at most {LONGEST_SOURCE} may be.")
    try:
        tree = _ENVIRONMENT.parse(source)
        _admit(source, tree)
        outputs = [each for part in tree.body if isinstance(part, nodes.Output) for each in part.nodes]
        single = len(outputs) == 1 and not isinstance(outputs[0], nodes.TemplateData)
        if single and source.startswith("{{") and source.endswith("}}"):
            inner = source[2:-2].removeprefix("-").removeprefix("+").removesuffix("-").removesuffix("+")
            expression = _ENVIRONMENT.compile_expression(inner, undefined_to_none=False)
            return lambda variables: _guarded(source, lambda **named: _checked(expression(**named)), variables)
        template = _ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:
        raise ExpressionError(f"{_shown(source)} can't be read: {_words(error)}.") from error
    except (RecursionError, SyntaxError, MemoryError) as error:
        raise ExpressionError(f"{_shown(source)} is nested too deeply.") from error
    return lambda variables: _guarded(source, template.render, variables)


def _admit(source: str, tree: nodes.Template) -> None:
    """Refuse every construct, filter and name that isn't listed, each with a word on what to write instead."""
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, NODES):
            what = "a statement" if isinstance(node, nodes.Stmt) else f"{type(node).__name__.lower()}"
            raise ExpressionError(
                f"{_shown(source)} has {what}, which isn't allowed here.",
                hint="Only {{ expressions }} are: values, arithmetic, comparisons, `a if b else c`, filters.",
            )
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            hint = did_you_mean(node.name, FILTERS) or f"There are {', '.join(sorted(FILTERS))}."
            raise ExpressionError(f"{_shown(source)}: there is no filter {node.name!r}.", hint=hint)
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise ExpressionError(
                f"{_shown(source)}: there is no test {node.name!r}.", hint=f"There are {', '.join(sorted(TESTS))}."
            )
        if isinstance(node, nodes.Name) and node.name not in VARIABLES:
            hint = did_you_mean(node.name, VARIABLES) or f"There are {', '.join(VARIABLES)}."
            raise ExpressionError(f"{_shown(source)}: there is no {node.name!r}.", hint=hint)


def _guarded(source: str, work: Callable[..., Any], variables: Mapping[str, Any]) -> Any:
    try:
        return work(**variables)
    except SecurityError as error:
        raise ExpressionError(f"{_shown(source)} isn't allowed: {_words(error)}.") from error
    except TemplateError as error:
        raise ExpressionError(f"{_shown(source)} fails: {_words(error)}.") from error
    except Exception as error:  # an expression is somebody's program: it may raise anything
        raise ExpressionError(f"{_shown(source)} fails: {error} ({type(error).__name__}).") from error


def _checked(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise SecurityError(f"it gives more than {DEEPEST} levels of lists and tables")
    if isinstance(value, (Undefined, Method)):
        str(value)  # raises what is wrong with it
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(parts, (list, tuple)):
        for each in parts:
            _checked(each, depth + 1)
    elif not isinstance(value, _VALUES):
        raise SecurityError(f"it gives a {type(value).__name__}, which no event can hold")
    return value


def _words(error: TemplateError) -> str:
    return (error.message or type(error).__name__).rstrip(".")


def _shown(source: str) -> str:
    return repr(source if len(source) <= 80 else source[:77] + "...")
