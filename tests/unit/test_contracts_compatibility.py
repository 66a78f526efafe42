"""Which changes of a schema are allowed at which level, and what is said about those that are not."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import fastavro.utils
import pytest

from tidemill.contracts.compatibility import Version, incompatibilities
from tidemill.contracts.policies import Compatibility
from tidemill.errors import ContractError


def record(*fields: dict[str, Any], name: str = "Box", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "tests", "fields": list(fields), **more}


def field(name: str, type_: Any = "int", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Fit", "symbols": list(symbols), **more}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def many(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def parts(*fields: dict[str, Any]) -> dict[str, Any]:
    return many(record(*fields, name="Part"))


def of(type_: Any) -> dict[str, Any]:
    """A record with one field of a type."""
    return record(field("a", type_))


TREE = record(field("label", "string"), field("children", many("tests.Box")))
A = field("a")
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
FIXED = {"type": "fixed", "name": "Digest"}


def reasons(old: Any, new: Any, level: Compatibility) -> list[str]:
    return [found.reason for found in incompatibilities(new, [Version("version 1", old)], level)]


CHANGES: list[tuple[str, Any, Any, bool, bool]] = [
    ("nothing", record(A), record(A), True, True),
    ("docs", record(A), record(field("a", doc="New."), doc="New."), True, True),
    ("field with a default added", record(A), record(A, field("b", default=1)), True, True),
    ("field without a default added", record(A), record(A, field("b")), False, True),
    ("nullable field added without a default", record(A), record(A, field("b", ["null", "int"])), False, True),
    ("field without a default removed", record(A, field("b")), record(A), True, False),
    ("field with a default removed", record(A, field("b", default=1)), record(A), True, True),
    ("default added", record(A), record(field("a", default=1)), True, True),
    ("field renamed", record(A), record(field("b")), False, False),
    ("field renamed with an alias", record(A), record(field("b", aliases=["a"])), True, False),
    ("fields in another order", record(A, field("b")), record(field("b"), A), True, True),
    ("record renamed", record(A), record(A, name="Crate"), False, False),
    ("record renamed with an alias", record(A), record(A, name="Crate", aliases=["Box"]), True, False),
    ("record renamed with a full alias", record(A), record(A, name="Crate", aliases=["tests.Box"]), True, False),
    ("namespace changed", record(A), {**record(A), "namespace": "other"}, True, True),
    ("int to long", of("int"), of("long"), True, False),
    ("int to double", of("int"), of("double"), True, False),
    ("long to float", of("long"), of("float"), True, False),
    ("float to double", of("float"), of("double"), True, False),
    ("string to bytes", of("string"), of("bytes"), True, False),
    ("int to string", of("int"), of("string"), False, False),
    ("made nullable", of("int"), of(["null", "int"]), True, False),
    ("nullable turned around", of(["int", "null"]), of(["null", "int"]), True, True),
    ("made nullable and wider", of("int"), of(["null", "long"]), True, False),
    ("nullable int to long", of(["null", "int"]), of(["null", "long"]), True, False),
    ("nullable int to text", of(["null", "int"]), of(["null", "string"]), False, False),
    ("symbol added", of(enum("x")), of(enum("x", "y")), True, False),
    ("symbol added, with a default", of(enum("x", default="x")), of(enum("x", "y", default="x")), True, True),
    ("symbol removed", of(enum("x", "y")), of(enum("x")), False, True),
    ("symbol removed, with a default", of(enum("x", "y")), of(enum("x", default="x")), True, True),
    ("enum to string", of(enum("x")), of("string"), False, False),
    ("list of int to list of long", of(many("int")), of(many("long")), True, False),
    ("map to list", of({"type": "map", "values": "int"}), of(many("int")), False, False),
    ("one to many", of("int"), of(many("int")), False, False),
    ("nested field without a default", of(parts(A)), of(parts(A, field("b"))), False, True),
    ("nested field with a default", of(parts(A)), of(parts(A, field("b", default=1))), True, True),
    ("fixed of another size", of({**FIXED, "size": 4}), of({**FIXED, "size": 8}), False, False),
    ("moment in other units", of(MILLIS), of(MICROS), False, False),
    ("number becomes a moment", of("long"), of(MICROS), False, False),
    ("moment loses its zone", of(MICROS), of({**MICROS, "logicalType": "local-timestamp-micros"}), False, False),
    ("text becomes a uuid", of("string"), of({"type": "string", "logicalType": "uuid"}), False, False),
    ("decimal of another scale", of(decimal(9, 2)), of(decimal(9, 3)), False, False),
    ("a type that contains itself", TREE, TREE, True, True),
    ("a type that contains itself, grown", TREE, {**TREE, "fields": [*TREE["fields"], field("b")]}, False, True),
]


@pytest.mark.parametrize(("what", "old", "new", "backward", "forward"), CHANGES)
def test_which_changes_are_compatible(what: str, old: Any, new: Any, backward: bool, forward: bool) -> None:
    assert (reasons(old, new, "BACKWARD") == []) is backward, what
    assert (reasons(old, new, "FORWARD") == []) is forward, what
    assert (reasons(old, new, "FULL") == []) is (backward and forward), what
    assert reasons(old, new, "NONE") == []


@pytest.mark.parametrize(
    ("reader", "writer"),
    [pytest.param(new, old, id=f"{what}, backward") for what, old, new, backward, _ in CHANGES if backward]
    + [pytest.param(old, new, id=f"{what}, forward") for what, old, new, _, forward in CHANGES if forward],
)
def test_what_is_called_compatible_can_be_read(reader: Any, writer: Any) -> None:
    # TREE has no finite random value.
    values = [{"label": "x", "children": [], "b": 1}] if writer["fields"][0]["name"] == "label" else []
    for value in values or fastavro.utils.generate_many(writer, 20):
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, writer, value)
        buffer.seek(0)

        read: Any = fastavro.schemaless_reader(buffer, writer, reader)

        assert set(read) == {each["name"] for each in reader["fields"]}
        assert buffer.read() == b""


@pytest.mark.parametrize(
    ("old", "new", "level", "reason"),
    [
        (
            record(A),
            record(A, field("width")),
            "BACKWARD",
            "field 'width' was added without a default: readers with the new schema can't read old events; "
            "give it a default, or an alias if it was renamed.",
        ),
        (
            record(A, field("width")),
            record(A),
            "FORWARD",
            "field 'width' was removed, but it has no default in the old schema: "
            "readers with the old schema can't read new events; keep it.",
        ),
        (
            record(A),
            record(field("a", "string")),
            "BACKWARD",
            "field 'a' changed from int to string: readers with the new schema can't read old events; "
            "add a new field instead.",
        ),
        (
            record(field("p", parts(A))),
            record(field("p", parts(field("a", "long")))),
            "FORWARD",
            "field 'p[].a' changed from int to long: readers with the old schema can't read new events; "
            "add a new field instead.",
        ),
        (
            record(field("a", ["null", "int"])),
            record(A),
            "BACKWARD",
            "field 'a' could be null and no longer can: readers with the new schema can't read old events; "
            "keep null among its types.",
        ),
        (
            record(field("fit", enum("pad", "cover"))),
            record(field("fit", enum("pad"))),
            "BACKWARD",
            "field 'fit' lost 'cover' of enum Fit, which has no default symbol: "
            "readers with the new schema can't read old events; keep the symbols, or give the enum a default.",
        ),
        (
            record(field("fit", ["null", enum("pad")])),
            record(field("fit", ["null", enum("pad", "cover")])),
            "FORWARD",
            "field 'fit' has 'cover' new in enum Fit, which had no default symbol: "
            "readers with the old schema can't read new events; "
            "give the enum a default first, in a version of its own.",
        ),
        (
            record(field("at", MILLIS)),
            record(field("at", MICROS)),
            "BACKWARD",
            "field 'at' changed its meaning from timestamp-millis to timestamp-micros: "
            "readers with the new schema can't read old events; add a new field instead.",
        ),
        (
            record(A),
            record(A, name="Crate"),
            "BACKWARD",
            "the record holds record Crate, which was record Box: readers with the new schema can't read old events; "
            "keep the name, or give it 'Box' among its aliases.",
        ),
    ],
)
def test_the_reason_names_the_field_what_changed_and_what_to_do(
    old: Any, new: Any, level: Compatibility, reason: str
) -> None:
    assert reasons(old, new, level) == [reason]


def test_every_reason_is_given_and_says_against_which_version() -> None:
    found = incompatibilities(record(field("b"), field("c")), [Version("version 7 in the registry", record(A))], "FULL")

    assert [(each.field, each.direction) for each in found] == [("b", "backward"), ("c", "backward"), ("a", "forward")]
    assert str(found[0]).endswith("(against version 7 in the registry)")


def test_only_transitive_levels_look_past_the_last_version() -> None:
    first, second = record(A), record(A, field("b", default=1))
    third = record(A, field("b"))
    versions = [Version("version 1", first), Version("version 2", second)]

    assert incompatibilities(third, versions, "BACKWARD") == []
    assert [each.against for each in incompatibilities(third, versions, "BACKWARD_TRANSITIVE")] == ["version 1"]
    assert [each.against for each in incompatibilities(third, versions, "FULL_TRANSITIVE")] == ["version 1"]
    assert incompatibilities(third, versions, "FORWARD_TRANSITIVE") == []


def test_a_first_version_is_compatible() -> None:
    assert incompatibilities(record(A), [], "FULL_TRANSITIVE") == []


def test_unions_that_no_contract_may_have_are_compared_too() -> None:
    wide, narrow = record(field("a", ["null", "int", "string"])), record(field("a", ["null", "string"]))

    assert reasons(narrow, wide, "BACKWARD") == []
    assert len(reasons(wide, narrow, "BACKWARD")) == 1


def test_what_is_not_avro_can_not_be_compared() -> None:
    with pytest.raises(ContractError, match=r"version 3 can't be compared: unknown type 'recrod'\."):
        incompatibilities(record(A), [Version("version 3", {"type": "recrod"})], "FULL")
