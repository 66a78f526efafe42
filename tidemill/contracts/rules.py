"""What a schema must satisfy to be a contract: Kafka's names, the `tidemill` property, types that have a Python form.

`examine` reports every fault at once and raises nothing. Computes only; reads no file.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args

from tidemill.contracts.canonical import canonical_json
from tidemill.contracts.defaults import python_default
from tidemill.contracts.duration import parse_duration
from tidemill.contracts.faults import Fault, did_you_mean
from tidemill.contracts.policies import DEAD_SUFFIX, Cleanup, Compatibility
from tidemill.contracts.schema import (
    MISSING,
    AvroType,
    Enum,
    Field,
    Primitive,
    Record,
    Report,
    optional_of,
    read_schema,
    short_name,
)
from tidemill.contracts.supported_types import check_type, describe

MOST_PARTITIONS = 10_000
LONGEST_TOPIC = 249
"""Kafka's own limit (org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH)."""

RESERVED_TYPE_NAMES = frozenset(
    {"Any", "ClassVar", "Contract", "Decimal", "EVENT_TYPES", "Literal", "Payload", "Self", "TypeAlias", "UTC", "UUID"}
    | {"bool", "bytes", "builtins", "classmethod", "dataclass", "date", "datetime", "dict", "field", "float", "int"}
    | {"list", "object", "str", "time", "timedelta"}
)
"""Names that a generated module uses itself."""
RESERVED_FIELD_NAMES = frozenset({"to_record", "from_record", "classmethod"})

_DEFAULTS: dict[str, Any] = {
    "type": None,
    "topic": None,
    "key": None,
    "partitions": 12,
    "retention": "7d",
    "cleanup": "delete",
    "compatibility": "BACKWARD",
}
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEY_KINDS = ("string", "int", "long")


@dataclass(frozen=True)
class Examined:
    """A schema after its examination."""

    origin: str
    faults: list[Fault] = field(default_factory=list)
    record: Record | None = None
    named: dict[str, AvroType] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    """The arguments of `Contract`; empty if there are faults."""


def type_of_record(name: str) -> str:
    """The event type that a record's name stands for: `ImageRequested` -> `image.requested`."""
    return ".".join(_WORD_START.split(short_name(name))).lower()


def examine(schema: object, *, origin: str) -> Examined:
    """Check a schema against every rule of contracts.

    Args:
        schema: The parsed .avsc file.
        origin: Its name in messages. If it ends in `.avsc`, it must be `<type>.avsc`.

    Returns:
        All faults; what makes the contract, if there is none.
    """
    faults: list[Fault] = []

    def report(found: str, hint: str | None = None) -> None:
        faults.append(Fault(origin, found, hint))

    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        report("an event's schema must be a record.", 'Start with {"type": "record", "name": ..., "fields": [...]}.')
        return Examined(origin, faults)
    record, named = read_schema(schema, report)
    assert isinstance(record, Record)
    sound = not faults
    if sound:
        # Only then: what couldn't be read would bring faults that aren't there.
        for type_ in named.values():
            _check_named(type_, report)
        for owner in [type_ for type_ in named.values() if isinstance(type_, Record)]:
            for each in owner.fields:
                _check_field(each, owner, named, report)
    properties = _properties(schema, record if sound else None, origin, report)
    if faults:
        return Examined(origin, faults, record, named)
    return Examined(origin, faults, record, named, properties | {"schema_json": canonical_json(schema)})


def _properties(schema: Mapping[str, Any], record: Record | None, origin: str, report: Report) -> dict[str, Any]:
    given = schema.get("tidemill")
    if not isinstance(given, Mapping):
        report(
            "it has no 'tidemill' object, which says how its topic is made.",
            'Add "tidemill": {"key": ..., "partitions": 12, "retention": "7d"} to the record.',
        )
        given = {}
    for word in given:
        if word not in _DEFAULTS:
            hint = did_you_mean(word, _DEFAULTS) or f"Known are {', '.join(_DEFAULTS)}."
            report(f"unknown property {word!r} in 'tidemill'.", hint)
    values = {**_DEFAULTS, **given}
    _check_topic_settings(values, report)
    if record is not None:
        values["type"] = values["type"] if values["type"] is not None else type_of_record(record.name)
        values["topic"] = values["topic"] if values["topic"] is not None else values["type"]
        _check_names(values["type"], values["topic"], record, origin, report)
        _check_key(values["key"], values["cleanup"], record, report)
    retention: timedelta | None = None
    try:
        retention = parse_duration(values["retention"])
    except ValueError as error:
        report(f"retention {values['retention']!r} is not a duration.", str(error))
    return {name: values[name] for name in _DEFAULTS} | {"retention": retention}


def _check_names(type_: object, topic: object, record: Record, origin: str, report: Report) -> None:
    for what, name, suffix in (("type", type_, ""), ("topic", topic, DEAD_SUFFIX)):
        if not isinstance(name, str) or not _TOPIC.fullmatch(name) or name in (".", ".."):
            report(
                f"{what} {name!r} is not a legal name in Kafka.", "Use letters, digits, dots, underscores and dashes."
            )
        elif len(name) + len(suffix) > LONGEST_TOPIC:
            most = LONGEST_TOPIC - len(suffix)
            report(f"{what} {name[:40] + '...'!r} has {len(name)} characters.", f"At most {most} are possible.")
    if origin.endswith(".avsc") and origin.rpartition("/")[2] != f"{type_}.avsc":
        report(
            f"the file must be called {type_}.avsc, since it defines {short_name(record.name)}.",
            "Rename the file or the record, or set \"type\" in 'tidemill'.",
        )


def _check_topic_settings(values: Mapping[str, Any], report: Report) -> None:
    partitions = values["partitions"]
    if not isinstance(partitions, int) or isinstance(partitions, bool) or not 1 <= partitions <= MOST_PARTITIONS:
        report(f"partitions must be a whole number from 1 to {MOST_PARTITIONS}, found {partitions!r}.")
    for name, allowed in (("cleanup", get_args(Cleanup)), ("compatibility", get_args(Compatibility))):
        if values[name] not in allowed:
            hint = did_you_mean(str(values[name]).lower() if name == "cleanup" else str(values[name]).upper(), allowed)
            report(f"{name} {values[name]!r} is not one of {', '.join(map(repr, allowed))}.", hint)


def _check_key(key: object, cleanup: object, record: Record, report: Report) -> None:
    if key is None:
        if isinstance(cleanup, str) and "compact" in cleanup:
            report(f"cleanup {cleanup!r} needs a key: Kafka keeps the last event of each.", "Name a field as the key.")
        return
    fields = {each.name: each for each in record.fields}
    if not isinstance(key, str) or key not in fields:
        hint = (did_you_mean(key, fields) if isinstance(key, str) else None) or f"Its fields are {', '.join(fields)}."
        report(f"key {key!r} is not a field of {short_name(record.name)}.", hint)
        return
    type_ = fields[key].type
    # A logical type other than uuid has several spellings as text, so equal values could go to different partitions.
    plain = isinstance(type_, Primitive) and type_.kind in _KEY_KINDS and type_.logical in (None, "uuid")
    if not plain and not isinstance(type_, Enum):
        report(
            f"key {key!r} is {describe(type_)}, which can't be a key.",
            "A key is a string, uuid, int, long or enum, and never null.",
        )


def _check_named(type_: AvroType, report: Report) -> None:
    if not isinstance(type_, (Record, Enum)):
        return
    name = short_name(type_.name)
    if name in RESERVED_TYPE_NAMES or keyword.iskeyword(name) or name.startswith("__"):
        report(f"the name {name!r} means something else in Python.", "Choose another name.")


def _check_field(each: Field, owner: Record, named: Mapping[str, AvroType], report: Report) -> None:
    where = f"field '{short_name(owner.name)}.{each.name}'"
    if keyword.iskeyword(each.name):
        report(
            f"{where}: {each.name!r} is a reserved word of Python.", f"Call it {each.name + '_name'!r}, for example."
        )
    elif each.name in RESERVED_FIELD_NAMES or each.name.startswith("__"):
        report(f"{where}: the name {each.name!r} is taken in Python classes.", "Choose another name.")
    elif any(each.name == short_name(name) for name in named):
        report(f"{where} has the name of a type.", "Start the field's name with a small letter.")
    check_type(each.type, where, report)
    if each.default is not MISSING:
        try:
            python_default(each.type, each.default)
        except ValueError as error:
            hint = None
            if optional_of(each.type) is not None:
                hint = 'Put the type of the default first in the union, as in ["null", "string"] with null.'
            report(f"{where}: the default {each.default!r} doesn't fit: {error}.", hint)
    elif each.type is owner:
        report(f"{where} holds {short_name(owner.name)} itself, without end.", "Make it nullable or a list.")
