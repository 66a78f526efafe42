"""The part of the OpenAPI document that describes jobs."""

from __future__ import annotations

from typing import Any

from producers.gateway.events.openapi import BYTES, COMPONENT, PROBLEM
from tidemill.jobs import State

_REFUSALS = dict.fromkeys(("400", "401", "403", "404", "429", "503"), PROBLEM)
_JOB_ID = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "The id of the event that the job began with.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 400},
}
_FILE = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "description": "What the request called it."},
        "href": {"type": "string"},
        "media_type": {"type": "string"},
        "size_bytes": {"type": ["integer", "null"]},
        "sha256": {"type": ["string", "null"]},
    },
    "required": ["name", "href", "media_type", "size_bytes", "sha256"],
}
_MOMENT = {"type": "string", "format": "date-time"}
_JOB = {
    "type": "object",
    "description": "Where a job is: an event, and everything that came of it.",
    "properties": {
        "id": {"type": "string"},
        "type": {"type": ["string", "null"]},
        "state": {"type": "string", "enum": [state.value for state in State]},
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
        "events": {"type": "integer", "description": "How many events there are so far."},
        "finished_events": {"type": "integer"},
        "lead": {"type": "object", "description": "The event that decides the state."},
        "why": {"type": ["string", "null"], "description": "The reason, where it waits, has failed or was given up."},
        "progress": {"type": ["object", "null"], "description": "How far it is, where its handler says so."},
        "results": {"type": "array", "items": {"type": "object"}},
        "failures": {"type": "array", "items": {"type": "object"}},
        "cancel_asked_by": {"type": ["string", "null"]},
        "files": {"type": "array", "items": {"$ref": COMPONENT + "JobFile"}},
        "tree": {"type": "array", "items": {"type": "object"}, "description": "Its events, with ?events=1."},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["id", "type", "state", "created_at", "updated_at", "events", "lead", "results", "files", "links"],
}
_ETAG = {"ETag": {"description": "Its version.", "schema": {"type": "string"}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/jobs/{job_id}": {
            "get": {
                "summary": "Where a job is",
                "operationId": "job",
                "tags": ["jobs"],
                "parameters": [
                    _JOB_ID,
                    {
                        "name": "wait",
                        "in": "query",
                        "description": "Seconds to wait until it is finished or, with If-None-Match, has changed.",
                        "schema": {"type": "number", "minimum": 0, "maximum": 60},
                    },
                    {
                        "name": "events",
                        "in": "query",
                        "description": "1: with all its events.",
                        "schema": {"type": "string", "enum": ["0", "1"]},
                    },
                    _header("If-None-Match", "The version that is known already."),
                ],
                "responses": {
                    "200": {
                        "description": "Its status.",
                        "headers": _ETAG,
                        "content": {"application/json": {"schema": {"$ref": COMPONENT + "Job"}}},
                    },
                    "304": {"description": "It is still as it is known."},
                    **_REFUSALS,
                },
            }
        },
        "/jobs/{job_id}/events": {
            "get": {
                "summary": "Follow a job, as server-sent events",
                "description": "`state` and `progress`, then `done`, `failed` or `cancelled`; the data is the job.",
                "operationId": "follow",
                "tags": ["jobs"],
                "parameters": [_JOB_ID, _header("Last-Event-ID", "The last event that is known already.")],
                "responses": {
                    "200": {
                        "description": "Events until the job is finished.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    "204": {"description": "It is finished, and that is known: don't come again."},
                    **_REFUSALS,
                },
            }
        },
        "/jobs/{job_id}/files/{which}": {
            "get": {
                "summary": "A file that came of a job",
                "operationId": "jobFile",
                "tags": ["jobs"],
                "parameters": [
                    _JOB_ID,
                    {
                        "name": "which",
                        "in": "path",
                        "required": True,
                        "description": "Its number, from 0, or the name that only it has.",
                        "schema": {"type": "string", "minLength": 1},
                    },
                    _header("Range", "A part of it, such as bytes=0-1023."),
                    _header("If-None-Match", "The version that is known already."),
                ],
                "responses": {
                    "200": {"description": "The file.", "headers": _ETAG, "content": {"*/*": {"schema": BYTES}}},
                    "206": {"description": "A part of it.", "content": {"*/*": {"schema": BYTES}}},
                    "304": {"description": "It is still as it is known."},
                    "307": {"description": "It is in a bucket, which sends it itself."},
                    "416": PROBLEM,
                    **_REFUSALS,
                },
            }
        },
        "/jobs/{job_id}/cancel": {
            "post": {
                "summary": "Ask the streams to give a job up",
                "operationId": "cancel",
                "tags": ["jobs"],
                "parameters": [_JOB_ID],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"why": {"type": ["string", "null"], "maxLength": 1000}},
                                "additionalProperties": False,
                            }
                        }
                    }
                },
                "responses": {
                    "202": {
                        "description": "Kafka has the request; what becomes of it is told with the job.",
                        "content": {"application/json": {"schema": {"$ref": COMPONENT + "Accepted"}}},
                    },
                    **_REFUSALS,
                    **dict.fromkeys(("408", "413", "415", "422"), PROBLEM),
                },
            }
        },
    },
    "components": {"schemas": {"Job": _JOB, "JobFile": _FILE}},
}
