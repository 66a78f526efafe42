"""Conditions: one expression over a row's columns, or a fault that says why not."""

from __future__ import annotations

import pytest

from streams.cleanup.condition import check_condition


@pytest.mark.parametrize(
    "condition",
    [
        "state = 'closed'",
        "state IN ('a;b', 'it''s') AND NOT archived",
        "\"group\" = 3 OR (x < 5 AND y LIKE '%--%')",
        "id NOT IN (SELECT session_id FROM payments)",
        "created::date < '2020-01-01' AND data->>'kind' = 'x'",
        "deleted IS NOT NULL",
        "é > 1",
    ],
)
def test_an_expression_over_columns_is_taken(condition: str) -> None:
    assert check_condition(condition) == []


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("", "it is empty"),
        ("1=1", "names no column"),
        ("true", "names no column"),
        ("'state' = 'state'", "names no column"),
        ("NOT (1 > 2)", "names no column"),
        ("state = 'x'; DROP TABLE users", "holds ';'"),
        ("1=1) OR (state = 'x'", "a ')' has no '(' before it"),
        ("(state = 'x'", "a '(' isn't closed"),
        ("state = 'x", "a quotation mark isn't closed"),
        ('"state = 1', "a quotation mark isn't closed"),
        ("state = 'x' -- and more", "a comment"),
        ("state = /* x */ 'x'", "a comment"),
        ("state = E'\\'; DROP TABLE users'", "E'"),
        ("state = $$x$$", "$$"),
        ("state = $tag$x$tag$", "$tag$"),
        ("id IN (DELETE FROM users RETURNING id)", "it holds DELETE"),
        ("id = (SELECT 1 INTO x)", "it holds INTO"),
    ],
)
def test_what_isnt_one_is_refused_with_the_reason(condition: str, why: str) -> None:
    faults = check_condition(condition)
    assert any(why in fault for fault in faults), faults
