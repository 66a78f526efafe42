"""The part of the OpenAPI document that describes uploads."""

from __future__ import annotations

from typing import Any

from producers.gateway.events.openapi import BYTES, COMPONENT, PARAMETERS, PROBLEM, REFUSALS

_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_UPLOAD = {
    "type": "object",
    "description": "A file in the object store, under a name that is made from its content.",
    "properties": {
        "uri": {"type": "string", "description": "What events name it by."},
        "sha256": _DIGEST,
        "size_bytes": {"type": "integer", "minimum": 1},
        "media_type": {"type": "string", "description": "What it is by its bytes."},
        "name": {"type": ["string", "null"], "description": "What its client calls it."},
    },
    "required": ["uri", "sha256", "size_bytes", "media_type", "name"],
}
_EVENT = {
    "type": "object",
    "description": "The event to publish; its `source` is the upload.",
    "properties": {
        "type": {"type": "string", "examples": ["image.requested"]},
        "payload": {"type": "object"},
        "key": {"type": "string"},
        "subject": {"type": "string"},
        "delay": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": ["type"],
}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/uploads": {
            "post": {
                "summary": "Upload a picture or a video, and perhaps ask for something to be made of it",
                "operationId": "upload",
                "tags": ["uploads"],
                "parameters": [
                    _parameter("name", "What its client calls the file.", {"type": "string"}),
                    _parameter("sha256", "Refuse other bytes than these.", _DIGEST),
                    _parameter(
                        "publish",
                        "Publish an event of this type, such as image.requested, whose source is the upload.",
                        {"type": "string"},
                    ),
                    _parameter("payload", "Its other fields, a JSON object. Only with `publish`.", {"type": "string"}),
                    # Key, subject, delay and time of the event, and the idempotency key.
                    *({"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS),
                    {
                        "name": "Content-Digest",
                        "in": "header",
                        "description": "SHA-256 of the body (RFC 9530); other bytes are refused.",
                        "schema": {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:$"},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "description": "The file itself, whatever its type is said to be, or a form with a field `file`.",
                    "content": {
                        "application/octet-stream": {"schema": BYTES},
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {"file": BYTES, "event": _EVENT, "sha256": _DIGEST},
                                "required": ["file"],
                            },
                            "encoding": {"event": {"contentType": "application/json"}},
                        },
                    },
                },
                "responses": {
                    "201": {
                        "description": "It is in the store.",
                        "content": {"application/json": {"schema": {"$ref": COMPONENT + "Upload"}}},
                    },
                    "202": {
                        "description": "It is in the store, and Kafka has the event.",
                        "headers": {"Location": {"description": "Where its job is.", "schema": {"type": "string"}}},
                        "content": {
                            "application/json": {
                                "schema": {
                                    "allOf": [
                                        {"$ref": COMPONENT + "Accepted"},
                                        {
                                            "type": "object",
                                            "properties": {"upload": {"$ref": COMPONENT + "Upload"}},
                                            "required": ["upload"],
                                        },
                                    ]
                                }
                            }
                        },
                    },
                    **dict.fromkeys((*REFUSALS, "408"), PROBLEM),
                },
            }
        }
    },
    "components": {"schemas": {"Upload": _UPLOAD}},
}
