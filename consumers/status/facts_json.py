"""Facts as JSON text for the database, and back. What isn't known takes no room. Computes only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from consumers.status.facts import Facts, GivenUp, Letter, Parcel, Place, Report, Retry, Return, StreamFacts

_dump = json.JSONEncoder(separators=(",", ":")).encode


def dumped(facts: Facts) -> str:
    """The text; payload, type and cause are not in it, since they have columns of their own."""
    data: dict[str, Any] = {}
    if facts.deliveries:
        data["deliveries"] = _places(facts.deliveries)
    if facts.delay is not None:
        data["delay"] = facts.delay
    if facts.outputs:
        data["outputs"] = sorted(facts.outputs)
    if facts.cancel_asked is not None:
        data["cancel_asked"] = facts.cancel_asked
    if facts.streams:
        data["streams"] = {name: _stream(facts.streams[name]) for name in sorted(facts.streams)}
    return _dump(data)


def loaded(
    text: str,
    *,
    updated_ms: int,
    type: str | None = None,
    cause: str | None = None,
    created_ms: int | None = None,
    payload: str | None = None,
) -> Facts:
    """The facts of a row.

    Args:
        text: As `dumped` made it.
        updated_ms, type, cause, created_ms, payload: The row's columns.
    """
    data = json.loads(text)
    return Facts(
        updated_ms,
        type,
        cause,
        created_ms,
        payload,
        _offsets(data.get("deliveries", ())),
        _made(Parcel, data.get("delay")),
        frozenset(data.get("outputs", ())),
        _made(GivenUp, data.get("cancel_asked")),
        {name: _stream_facts(each) for name, each in data.get("streams", {}).items()},
    )


def _stream(facts: StreamFacts) -> dict[str, Any]:
    data: dict[str, Any] = {
        "report": facts.report,
        "begun": facts.begun_ms,
        "done": facts.is_done or None,
        "cancelled": facts.cancelled,
        "retry": facts.retry,
        "back": facts.back,
        "letter": facts.letter,
        "answered": _places(facts.answered) or None,
    }
    return {name: value for name, value in data.items() if value is not None}


def _stream_facts(data: Mapping[str, Any]) -> StreamFacts:
    retry = data.get("retry")
    return StreamFacts(
        _made(Report, data.get("report")),
        data.get("begun"),
        bool(data.get("done")),
        _made(GivenUp, data.get("cancelled")),
        None if retry is None else Retry(retry[0], retry[1], Parcel(*retry[2])),
        _made(Return, data.get("back")),
        _made(Letter, data.get("letter")),
        _offsets(data.get("answered", ())),
    )


def _made(cls: Any, values: list[Any] | None) -> Any:
    return None if values is None else cls(*values)


def _places(offsets: Mapping[Place, int]) -> list[tuple[str, int, int]]:
    return [(topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]


def _offsets(places: list[list[Any]]) -> dict[Place, int]:
    return {(topic, partition): offset for topic, partition, offset in places}
