"""What the gateway says of itself, which agrees with what it takes: JSON Schema, OpenAPI, and the schema of Avro."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # published without types

from producers.gateway.errors import Problem
from producers.gateway.events.avro_body import AvroBodies
from producers.gateway.json_schema import json_schema
from tests.unit.gateway_calls import PICTURE, calls
from tidemill.codec import Codec
from tidemill.contracts.contract import Contract
from tidemill.contracts.registry import Registered
from tidemill.errors import ContractError, DecodeError
from tidemill.events import EVENT_TYPES, EmailRequested, ImageRequested, Rendition
from tidemill.json_events import from_json, parse_json
from tidemill.outbox import single_object
from tidemill.testing import MemorySchemas

EVERYTHING = Path(__file__).parent / "contracts_every_type" / "everything.happened.avsc"


@pytest.mark.parametrize("cls", EVENT_TYPES, ids=lambda cls: str(cls.__contract__.type))
def test_every_contract_is_a_json_schema_whose_defaults_fit_it(cls: Any) -> None:
    schema = json_schema(cls.__contract__)
    Draft202012Validator.check_schema(schema)
    for part in [schema, *schema.get("$defs", {}).values()]:
        for field in part.get("properties", {}).values():
            if "default" in field:
                Draft202012Validator({**field, "$defs": schema.get("$defs", {})}).validate(field["default"])


def test_every_type_of_avro_has_a_json_schema() -> None:
    contract = Contract.from_schema(json.loads(EVERYTHING.read_text("utf-8")), origin=EVERYTHING.name)
    schema = json_schema(contract)
    Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    for word in ('"format": "date-time"', '"format": "uuid"', '"format": "date"', "base64", "multipleOf", "#/$defs/"):
        assert word in text, word


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"metadata": "keep"}, True),
        ({"source_sha256": None}, True),
        ({"metadata": "drop"}, False),
        ({"source": 1}, False),
        ({"source": None}, False),
        ({"renditions": [{"name": "a", "width": 2**31}]}, False),
        ({"renditions": [{"name": "a", "width": 1.5}]}, False),
        ({"renditions": [{"name": "a", "width": 2.0}]}, True),
        ({"renditions": [{}]}, False),
        ({"renditions": {}}, False),
        ({"more": 1}, False),
    ],
)
def test_the_schema_and_the_gateway_agree(change: dict[str, Any], fits: bool) -> None:
    event = {**PICTURE, **change}
    assert Draft202012Validator(json_schema(ImageRequested.__contract__)).is_valid(event) is fits
    if fits:
        from_json(ImageRequested, parse_json(json.dumps(event)))
    else:
        with pytest.raises(ContractError):
            from_json(ImageRequested, parse_json(json.dumps(event)))


async def test_the_document_describes_every_path_and_every_type(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        document = (await call("GET", "/openapi.json")).json
        listed = (await call("GET", "/schemas")).json["schemas"]
        avro = await call("GET", "/schemas/image.requested", headers={"accept": "application/avro"})
        page = await call("GET", "/")
        missing = await call("GET", "/schemas/image.requsted")
        routes = {route.path for route in call.app.routes}  # type: ignore[attr-defined]
    types = {cls.__contract__.type for cls in EVENT_TYPES}
    assert document["openapi"] == "3.1.0"
    assert {f"/events/{name}" for name in types} | {"/events"} <= document["paths"].keys()
    plain = {path for path in document["paths"] if not path.startswith("/events/")}
    assert plain == routes - {"/", "/openapi.json", "/events/{type}"}
    assert {each["type"] for each in listed} == types
    assert {each["type"] for each in listed if not each["internal"]} == {
        name for name in types if name.endswith(".requested")
    }
    assert avro.json == ImageRequested.__contract__.schema
    assert b"image.requested" in page.body
    assert "style-src 'sha256-" in page.headers["content-security-policy"]
    assert (missing.status, missing.json["hint"]) == (404, "Did you mean 'image.requested'?")
    for reference in set(_references(document)):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for inner in value.values() for each in _references(inner)]
    return [each for inner in value for each in _references(inner)] if isinstance(value, list) else []


class Versions:
    """A registry with two versions of a subject."""

    def __init__(self, schemas: MemorySchemas, *classes: Any) -> None:
        self.asked = 0
        self._found = [
            Registered(
                cls.__contract__.subject,
                1,
                schemas.lookup_id("", cls.__contract__.schema_json),
                cls.__contract__.schema,
            )
            for cls in classes
        ]

    def versions(self, subject: str) -> list[Registered]:
        self.asked += 1
        return [each for each in self._found if each.subject == subject]


async def test_avro_is_read_by_the_schema_that_it_names_and_strange_ids_cost_nothing() -> None:
    schemas = MemorySchemas()
    codec = Codec(schemas)
    payload = ImageRequested(source="a", renditions=[Rendition(name="x")])
    wire = codec.encode(payload)
    mail = codec.encode(EmailRequested(to=["a@b.example"], text="t"))
    registry = Versions(schemas, ImageRequested, EmailRequested)
    bodies = AvroBodies(codec, registry)

    assert await bodies.decode(ImageRequested, wire) == payload
    single = single_object.packed(ImageRequested.__contract__.schema_json, wire)
    assert await bodies.decode(ImageRequested, single) == payload
    for body in (b"", b"\0", wire[5:], mail, b"\0\xff\xff\xff\xff" + wire[5:], b"\xc3\x01short"):
        with pytest.raises(Problem):
            await bodies.decode(ImageRequested, body)
    for body in (wire[:-1], wire + b"\0"):
        with pytest.raises(DecodeError):
            await bodies.decode(ImageRequested, body)
    for number in range(1_000):
        with pytest.raises(Problem):
            await bodies.decode(ImageRequested, b"\0" + (10_000 + number).to_bytes(4, "big"))
    assert registry.asked == 1
