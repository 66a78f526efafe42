"""The part of the OpenAPI document that describes events: a path for each type, since each has a body of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from producers.gateway import media_types
from producers.gateway.json_schema import PRINTABLE, parts

if TYPE_CHECKING:
    from tidemill.contracts.contract import Contract

COMPONENT = "#/components/schemas/"
PROBLEM = {"$ref": "#/components/responses/Problem"}
REFUSALS = ("400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "431", "503")
BYTES = {"type": "string", "format": "binary"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 2_000, "format": PRINTABLE}

PARAMETERS: dict[str, Any] = {
    "Key": {
        "name": "key",
        "in": "query",
        "description": "The Kafka key: events of one key are handled in order. Default: the contract's field.",
        "schema": TEXT,
    },
    "Subject": {"name": "subject", "in": "query", "description": "What the event is about.", "schema": TEXT},
    "Due": {
        "name": "due",
        "in": "query",
        "description": "`delay` (a whole number and s, m, h or d, from now) or `at` (a moment at most ten years ahead; "
        "the past is at once): when the event is to be published. Not both.",
        "style": "form",
        "explode": True,
        "schema": {
            "type": "object",
            "properties": {
                "delay": {
                    "type": "string",
                    "pattern": "^([1-9][0-9]{0,5}[sm]|[1-9][0-9]{0,3}h|[1-9][0-9]{0,2}d)$",
                    "examples": ["15m"],
                },
                "at": {"type": "string", "format": "date-time"},
            },
            "additionalProperties": False,
            "maxProperties": 1,
        },
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same token and type is the same event, however often it is sent.",
        "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
        "example": "order-1234-thumbnail",
    },
}
SCHEMAS: dict[str, Any] = {
    "Accepted": {
        "type": "object",
        "description": "An event that Kafka has acknowledged.",
        "properties": {
            "id": {"type": "string", "description": "The event's id, which is its job's, too."},
            "topic": {"type": "string"},
            "partition": {"type": "integer", "minimum": 0},
            "offset": {"type": "integer", "minimum": 0},
            "job": {"type": "string", "description": "Where its job is, as a path of this gateway."},
        },
        "required": ["id", "topic", "partition", "offset", "job"],
    },
    "Problem": {
        "type": "object",
        "description": "An answer that says no (RFC 9457).",
        "properties": {
            "type": {"type": "string", "format": "uri", "examples": ["urn:tidemill:problem:invalid"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What was found, and what was expected."},
            "hint": {"type": "string", "description": "What to do next."},
            "field": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "LineAnswer": {
        "type": "object",
        "description": "What became of one event of a batch: as Accepted with status 202, or as Problem.",
        "properties": {"line": {"type": "integer", "minimum": 1}, "status": {"type": "integer"}},
        "required": ["line", "status"],
    },
}
RESPONSES: dict[str, Any] = {
    "Problem": {
        "description": "What is wrong, and what to do next.",
        "content": {"application/problem+json": {"schema": {"$ref": COMPONENT + "Problem"}}},
    },
    "Accepted": {
        "description": "Kafka has the event. Of a batch: an answer for each event, with status 200.",
        "headers": {"Location": {"description": "Where its job is.", "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": COMPONENT + "Accepted"}}},
    },
    "Batch": {
        "description": "An answer for each event, in their order; bad ones don't keep the others from being published.",
        "content": {
            media_types.LINES: {"schema": {"$ref": COMPONENT + "LineAnswer"}},
            "application/json": {"schema": {"type": "array", "items": {"$ref": COMPONENT + "LineAnswer"}}},
        },
    },
}


def event_paths(contracts: Iterable[tuple[Contract, bool]]) -> dict[str, Any]:
    """Paths and components for these contracts.

    Args:
        contracts: Each with whether it is internal.
    """
    paths: dict[str, Any] = {"/events": {"post": _untyped()}}
    schemas = dict(SCHEMAS)
    known = []
    for contract, internal in contracts:
        root, definitions = parts(contract, COMPONENT)
        name = f"{contract.type}.CloudEvent"
        event = _cloud_event({"const": contract.type}, {"$ref": COMPONENT + contract.type})
        schemas |= {contract.type: root, **definitions, name: event}
        known.append({"$ref": COMPONENT + name})
        paths[f"/events/{contract.type}"] = {"post": _typed(contract, internal=internal)}
    schemas["CloudEvent"] = {"anyOf": known, "description": "A CloudEvent (1.0, JSON format) of a type that is taken."}
    return {"paths": paths, "components": {"schemas": schemas, "parameters": PARAMETERS, "responses": RESPONSES}}


def _typed(contract: Contract, *, internal: bool) -> dict[str, Any]:
    schema = {"$ref": COMPONENT + contract.type}
    return {
        "summary": f"Publish {contract.type}",
        "description": (contract.schema.get("doc") or "")
        + (" An internal type: only a token that names it exactly may publish it." if internal else ""),
        "operationId": f"publish {contract.type}",
        "tags": ["internal events" if internal else "events"],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS],
        "requestBody": {
            "required": True,
            "content": {
                media_types.JSON: {"schema": schema},
                media_types.AVRO: {"schema": BYTES},
                media_types.LINES: {"schema": BYTES},
                media_types.CLOUD_EVENT: {"schema": {"$ref": f"{COMPONENT}{contract.type}.CloudEvent"}},
            },
        },
        "responses": _responses(),
    }


def _untyped() -> dict[str, Any]:
    each = {"description": "A CloudEvent; each is judged by itself, and answered in its place."}
    return {
        "summary": "Publish CloudEvents, or lines that name their type",
        "operationId": "publish",
        "tags": ["events"],
        "description": "Of the query, lines take nothing: they say all of it themselves.",
        "requestBody": {
            "required": True,
            "content": {
                media_types.CLOUD_EVENT: {"schema": {"$ref": COMPONENT + "CloudEvent"}},
                media_types.CLOUD_EVENTS: {"schema": {"type": "array", "items": each}},
                media_types.LINES: {"schema": BYTES},
            },
        },
        "responses": _responses(),
    }


def _responses() -> dict[str, Any]:
    return {
        "200": {"$ref": "#/components/responses/Batch"},
        "202": {"$ref": "#/components/responses/Accepted"},
        **dict.fromkeys(REFUSALS, PROBLEM),
    }


def _cloud_event(type_: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": TEXT,
            "source": TEXT,
            "type": type_,
            "time": _perhaps({"type": "string", "format": "date-time"}),
            "subject": _perhaps(TEXT),
            "datacontenttype": _perhaps({"const": "application/json"}),
            "partitionkey": _perhaps(TEXT),
            "data": data,
        },
        "required": ["specversion", "id", "source", "type", "data"],
        "additionalProperties": False,
    }


def _perhaps(schema: dict[str, Any]) -> dict[str, Any]:
    """An attribute that may be null, which says that it isn't there (CloudEvents JSON format, section 2.2)."""
    return {"anyOf": [schema, {"type": "null"}]}
