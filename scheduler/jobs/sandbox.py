"""Jinja2's sandbox, emptied of all that isn't listed in `grammar.py`.

Relies on `ImmutableSandboxedEnvironment` to route every attribute, call and listed operator through the methods here.
"""

from __future__ import annotations

from datetime import date, time
from typing import Any

from jinja2 import StrictUndefined, Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scheduler.jobs.grammar import (
    ATTRIBUTES,
    FILTERS,
    TESTS,
    add_bounded,
    call_bounded,
    modulo_bounded,
    multiply_bounded,
)

_OPERATORS = {"+": add_bounded, "*": multiply_bounded, "%": modulo_bounded}


def iso_text(value: Any) -> Any:
    """Dates and times as ISO 8601 text, anything else as it is."""
    return value.isoformat() if isinstance(value, (date, time)) else value


class Method:
    """A method that may be called. As a text it would be its address in memory, another one at each try."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound

    def __str__(self) -> str:
        raise SecurityError(f"{self.bound.__name__} is a method: write {self.bound.__name__}()")

    __repr__ = __str__


class Sandbox(ImmutableSandboxedEnvironment):
    """No globals, no statements, and of filters, tests, attributes and methods only the listed ones."""

    intercepted_binops = frozenset(_OPERATORS)

    def __init__(self) -> None:
        # Not optimized: the optimizer would work out constant parts while compiling.
        super().__init__(undefined=StrictUndefined, finalize=iso_text, autoescape=False, optimized=False, cache_size=0)
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return any(attr in names for kind, names in ATTRIBUTES if isinstance(obj, kind))

    def getattr(self, obj: Any, attribute: str) -> Any:
        value = super().getattr(obj, attribute)
        return Method(value) if callable(value) and not isinstance(value, Undefined) else value

    def wrap_str_format(self, value: Any) -> None:
        # Jinja2 would let str.format through, made safe but not bounded: "{:>1000000000}".
        return None

    def getitem(self, obj: Any, argument: Any) -> Any:
        # Jinja2 would take an attribute where there is no such item.
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return _OPERATORS[operator](left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(obj, Method):
            raise SecurityError("this can't be called")
        return call_bounded(obj.bound, args, kwargs)
