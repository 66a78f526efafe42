"""Patches of payloads: JSON Patch (RFC 6902) and merge patches (RFC 7386), with the RFCs' own examples."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from consumers.deadletters.editing import read_patch
from consumers.deadletters.patching import patched
from tidemill.errors import DeadLetterError

# RFC 6902, appendix A.
OPERATIONS: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["a", "b", "c", "d"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["a", "c", "d", "b"]},
    ),
    ({"foo": [1]}, [{"op": "copy", "from": "/foo", "path": "/bar"}], {"foo": [1], "bar": [1]}),
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "qux"}], {"baz": "qux"}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
    ({"/": 9, "~1": 10}, [{"op": "replace", "path": "/~01", "value": 11}], {"/": 9, "~1": 11}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": 1}, [], {"a": 1}),
]
MISFITS: list[tuple[Any, list[dict[str, Any]], str]] = [
    ({"a": 1}, [{"op": "remove", "path": "/b"}], "there is no 'b'"),
    ({"a": 1}, [{"op": "add", "path": "/b/c", "value": 1}], "there is no 'b'"),
    ({"a": [1]}, [{"op": "replace", "path": "/a/1", "value": 1}], "the list has no place 1"),
    ({"a": [1]}, [{"op": "replace", "path": "/a/01", "value": 1}], "no place in a list"),
    ({"a": [1]}, [{"op": "replace", "path": "/a/-", "value": 1}], "no place in a list"),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": "1"}], "expected '1', found 1"),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], "expected True, found 1"),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}], "into itself"),
    ({"a": "text"}, [{"op": "add", "path": "/a/b", "value": 1}], "nothing below"),
]
# RFC 7386, appendix A.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), [*OPERATIONS, *MERGES])
def test_a_patch_does_what_its_rfc_says_and_leaves_its_input_alone(document: Any, patch: Any, expected: Any) -> None:
    before = deepcopy(document)
    assert patched(document, patch) == expected
    assert document == before


@pytest.mark.parametrize(("document", "patch", "why"), MISFITS)
def test_a_patch_that_does_not_fit_says_where(document: Any, patch: Any, why: str) -> None:
    with pytest.raises(DeadLetterError, match=r"Operation 0 .*" + why):
        patched(document, patch)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("3", "neither a list nor an object"),
        ('[{"op": "delete", "path": "/a"}]', "the op 'delete'"),
        ('["remove"]', "the op None"),
        ('[{"op": "remove", "path": "a"}]', "the path 'a'"),
        ('[{"op": "move", "path": "/a"}]', "the from None"),
        ('[{"op": "add", "path": "/a"}]', "has no value"),
        ('{"a": 1, "a": 2}', "written twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_patch_is_refused(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "patch.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeadLetterError, match=why):
        read_patch(file)


def test_a_patch_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeadLetterError, match="can't be read"):
        read_patch(tmp_path / "none.json")
    (tmp_path / "large.json").write_bytes(b" " * 1_000_001)
    with pytest.raises(DeadLetterError, match="more than 1,000,000 bytes"):
        read_patch(tmp_path / "large.json")
