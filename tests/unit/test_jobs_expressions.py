"""Expressions in a job's texts: what they can do, and that nothing hostile gets through, grows or takes long."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.expressions import ExpressionError, render_text, render_value

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2026, 11, 23, 7, tzinfo=PARIS)
END = datetime(2026, 11, 24, 7, tzinfo=PARIS)
VARIABLES: dict[str, Any] = {
    "job": "daily-report",
    "scheduled_at": END,
    "interval_start": START,
    "interval_end": END,
    "sequence": 41,
    "missed": 0,
    "manual": False,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ sequence }}", 41),
        ("{{sequence+1}}", 42),
        ("{{- sequence -}}", 41),
        ("{{ sequence * 1.5 }}", 61.5),
        ("{{ -sequence // 2 % 5 }}", 4),
        ("{{ interval_start }}", START),
        ("{{ interval_start.date() }}", date(2026, 11, 23)),
        ("{{ interval_start.replace(day=1, hour=0) }}", datetime(2026, 11, 1, tzinfo=PARIS)),
        ("{{ interval_end - interval_start }}", timedelta(days=1)),
        ("{{ (interval_end - interval_start).total_seconds() | int }}", 86_400),
        ("{{ interval_end.isocalendar().week }}", 48),
        ("{{ manual }}", False),
        ("{{ none }}", None),
        ("{{ 'late' if missed else 'in time' }}", "in time"),
        ("{{ [sequence, job] }}", [41, "daily-report"]),
        ("{{ {'n': sequence} }}", {"n": 41}),
        ("{{ missed > 0 or 'daily' in job }}", True),
        ("{{ job | replace('-', '_') | upper }}", "DAILY_REPORT"),
        ("{{ none | default('x') }}", "x"),
        ("{{ 2.345 | round(1) }}", 2.3),
        ("{{ job[:5] }}", "daily"),
        ("{{ sequence is odd }}", True),
    ],
)
def test_a_text_that_is_one_expression_becomes_its_value(text: str, value: object) -> None:
    rendered = render_value(text, VARIABLES)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("run {{ sequence }} of {{ job }}", "run 41 of daily-report"),
        (" {{ sequence }}", " 41"),
        ("{{ sequence }}{{ missed }}", "410"),
        ("{{ interval_start.date() }}/{{ interval_end }}", "2026-11-23/2026-11-24T07:00:00+01:00"),
        ("{{ interval_start.strftime('%Y/%m/%d') }}.jpg", "2026/11/23.jpg"),
        ("{{ job ~ '@' ~ sequence }}", "daily-report@41"),
        ("no { braces } %}", "no { braces } %}"),
        ("<a & 'b'> {{ '<' }}", "<a & 'b'> <"),
        ("{# said to nobody #}x", "x"),
        ("line\n", "line\n"),
        ("", ""),
    ],
)
def test_other_texts_stay_texts(text: str, rendered: str) -> None:
    assert render_value(text, VARIABLES) == rendered


def test_expressions_are_worked_out_at_every_depth_and_nothing_else_is_touched() -> None:
    given = {"list": ["{{ sequence }}", 1, None, 2.5, True, {"{{ job }}": "{{ job }}"}]}
    assert render_value(given, VARIABLES) == {"list": [41, 1, None, 2.5, True, {"{{ job }}": "daily-report"}]}
    assert given == {"list": ["{{ sequence }}", 1, None, 2.5, True, {"{{ job }}": "{{ job }}"}]}


def test_a_key_or_subject_is_always_text() -> None:
    assert render_text("{{ sequence }}", VARIABLES) == "41"
    assert render_text("{{ interval_start.date() }}", VARIABLES) == "2026-11-23"
    assert render_text("{{ job }}", VARIABLES) == "daily-report"
    assert render_text("{{ none }}", VARIABLES) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{ jb }}", "there is no 'jb'. Did you mean 'job'?"),
        ("{{ now }}", "There are job, scheduled_at, interval_start, interval_end, sequence, missed, manual."),
        ("{{ job.nope }}", "has no attribute 'nope'"),
        ("x {{ job.nope }}", "has no attribute 'nope'"),
        ("{{ job | uper }}", "there is no filter 'uper'. Did you mean 'upper'?"),
        ("{{ job | random }}", "there is no filter 'random'. There are abs, default"),
        ("{{ 1 is prime }}", "there is no test 'prime'. There are"),
        ("{{ job", "'{{ job' can't be read: unexpected end of template"),
        ("{{ }}", "can't be read: Expected an expression"),
        ("{{ 1 +* 2 }}", "can't be read"),
        ("{% if job %}x{% endif %}", "has a statement, which isn't allowed here. Only {{ expressions }} are"),
        ("{% set x = 1 %}{{ x }}", "has a statement"),
        ("{% include '/etc/passwd' %}", "has a statement"),
        ("{{ 1 / 0 }}", "fails: division by zero (ZeroDivisionError)"),
        ("{{ job + 1 }}", "fails: "),
        ("{{ scheduled_at.replace(hour=25) }}", "fails: hour must be in 0..23"),
        ("{{ job.upper(1, 2) }}", "fails: "),
        ("{{ job.upper }}", "'{{ job.upper }}' isn't allowed: upper is a method: write upper()."),
        ("x {{ job.upper }}", "upper is a method: write upper()"),
        ("{{ job.upper ~ '' }}", "upper is a method: write upper()"),
        ("x {{ [job.upper] }}", "upper is a method: write upper()"),
        ("{{ [job.upper] }}", "upper is a method: write upper()"),
        ("{{ job.upper | string }}", "upper is a method: write upper()"),
        ("{{ [job.nope] }}", "has no attribute 'nope'"),
        ("{{ interval_start.tzinfo }}", "isn't allowed: it gives a ZoneInfo, which no event can hold."),
        ("{{ job['upper'] }}", "has no attribute 'upper'"),
    ],
)
def test_what_cant_be_worked_out_says_why(text: str, complaint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        render_value({"a": [text]}, VARIABLES)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ interval_start['__class__'] }}",
        "{{ interval_start.isoformat.__self__ }}",
        "{{ interval_start.__reduce__() }}",
        "{{ interval_start.tzinfo.__init__.__globals__ }}",
        "{{ interval_start.tzinfo.from_file('x') }}",
        "{{ job.format('x') }}",
        "{{ '{0.__class__}'.format(job) }}",
        "{{ job.format_map({}) }}",
        "{{ job.join(['a']) }}",
        "{{ job.encode() }}",
        "{{ [].append(1) }}",
        "{{ {}.update(a=1) }}",
        "{{ sequence.to_bytes(9) }}",
        "{{ sequence() }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler('a') }}",
        "{{ lipsum(1000) }}",
        "{{ namespace() }}",
        "{{ joiner() }}",
        "{{ dict(a=1) }}",
        "{{ range(10**9) }}",
        "{{ loop }}",
        "{{ job | attr('__class__') }}",
        "{{ job | map('upper') }}",
        "{{ job | pprint }}",
        "{% for x in range(10) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * 'a' }}",
        "{{ [0] * 10000000000 }}",
        "{{ (0,) * 10000000000 }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ job.center(10000000000) }}",
        "{{ job.ljust(10000000000) }}",
        "{{ job.zfill(10000000000) }}",
        "{{ job.replace('a', 'b') }}",
        "{{ job | replace('', 'b') }}",
        "{{ job | center(10000000000) }}",
        "{{ job | indent(10000000000) }}",
        "{{ '%10000000000d' | format(1) }}",
        "{{ '9999' is divisibleby(3) }}",
        "{{ interval_start.strftime('" + "%c" * 150 + "') }}",
        "{{ 99999999999" + " * 99999999999" * 130 + " }}",
        "{{ 'aaaaaaaaaa'" + " | replace('a', 'aaaaaaaaaa')" * 30 + " }}",
        "{{ ('" + "9" * 1900 + "' | int) * 1" + " }}" + "{{ job.__class__ }}",
        "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
        "{{ " + "[" * 900 + "]" * 900 + " }}",
        "{{ " + "-" * 1900 + "1 }}",
        "{{ " + "not " * 490 + "1 }}",
        "{{ " + "1 if 1 else " * 150 + "1 }}" + "{{ job.__class__ }}",
        "{{ job" + "[0]" * 600 + " }}" + "{{ job.__class__ }}",
        "{{ job }}" * 300,
        "{{ " + "'a' ~ " * 400 + "'a' }}" + "{{ job.__class__ }}",
    ],
)
def test_what_is_hostile_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionError):
        render_value(text, VARIABLES)
    assert time.perf_counter() - began < 2


def test_a_result_that_is_too_large_is_refused() -> None:
    with pytest.raises(ExpressionError, match="larger than 100,000 bytes"):
        render_value(["{{ job }}" + "x" * 1_900] * 60, VARIABLES)
    with pytest.raises(ExpressionError, match="larger than 100,000 bytes"):
        render_value(list(range(20_000)), VARIABLES)


def test_a_payload_that_is_nested_too_deeply_is_refused() -> None:
    nested: Any = "{{ job }}"
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(ExpressionError, match="more than 20 levels"):
        render_value(nested, VARIABLES)
    with pytest.raises(ExpressionError, match="more than 20 levels"):
        render_value("{{ " + "[" * 60 + "]" * 60 + " }}", VARIABLES)


def test_expressions_cannot_change_what_they_are_given() -> None:
    before = dict(VARIABLES)
    render_value("{{ [job, sequence] }}", VARIABLES)
    assert before == VARIABLES
