"""The HTTP binding of CloudEvents 1.0: attributes in headers (binary mode), or one JSON object (structured mode).

Beyond the specification: the `type` must be that of a contract, the data must be JSON, and `partitionkey` is the
event's key, as in the Kafka binding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from producers.gateway.events.incoming import moment_of, text_of, traceparent_of
from tidemill.errors import ContractError

PREFIX = "ce-"
NAME = re.compile(r"[a-z0-9]{1,20}")
MOST_EXTENSIONS = 20
_OURS = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
        "partitionkey",
        "traceparent",
        "tracestate",
    }
)
NOTHING = object()


@dataclass(slots=True, kw_only=True)
class CloudEvent:
    """The attributes of one, checked."""

    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str | None = None
    key: str | None = None
    traceparent: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    data: Any = NOTHING
    """Of structured mode."""


def is_binary(headers: Iterable[str]) -> bool:
    """Whether a request's headers hold attributes of a CloudEvent."""
    return any(name.startswith(PREFIX) for name in headers)


def from_headers(headers: Iterable[tuple[str, str]]) -> CloudEvent:
    """The event that a request's headers describe; its data is the body.

    Args:
        headers: Names in lower case, and values.

    Raises:
        ContractError: An attribute is missing, twice there, or not what it should be.
    """
    attributes: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            attribute = name.removeprefix(PREFIX)
            if attribute in attributes:
                raise ContractError(f"The header {name[:40]!r} is there more than once.")
            attributes[attribute] = _unquoted(value)
    return _checked(attributes)


def from_object(found: Any) -> CloudEvent:
    """The event of a JSON object.

    Raises:
        ContractError: It isn't a CloudEvent with JSON data.
    """
    if type(found) is not dict:
        raise ContractError("A CloudEvent is a JSON object.")
    if "data_base64" in found:
        raise ContractError("A CloudEvent's data must be JSON here, found data_base64.", hint="Put it into `data`.")
    content = found.get("datacontenttype")
    if content is None:
        content = "application/json"
    if not isinstance(content, str) or content.partition(";")[0].strip().lower() != "application/json":
        raise ContractError(f"A CloudEvent's data must be application/json here, found {str(content)[:60]!r}.")
    event = _checked({name: value for name, value in found.items() if name != "data"})
    event.data = found.get("data", NOTHING)
    return event


def _checked(attributes: dict[str, Any]) -> CloudEvent:
    for name in ("specversion", "id", "source", "type"):
        if name not in attributes:
            raise ContractError(f"A CloudEvent has {name!r}; it is missing.", hint="See CloudEvents 1.0.")
    if attributes["specversion"] != "1.0":
        raise ContractError(f"CloudEvents 1.0 is taken, found specversion {str(attributes['specversion'])[:20]!r}.")
    extensions = {}
    for name, value in attributes.items():
        if name in _OURS or value is None:
            continue
        if not NAME.fullmatch(name):
            raise ContractError(
                f"An attribute's name must be 1 to 20 lower-case letters and digits, found {name[:40]!r}."
            )
        extensions[name] = _as_text(name, value)
    if len(extensions) > MOST_EXTENSIONS:
        raise ContractError(f"A CloudEvent has at most {MOST_EXTENSIONS} extensions here, found {len(extensions)}.")
    time, subject, key = (attributes.get(name) for name in ("time", "subject", "partitionkey"))
    trace = attributes.get("traceparent")
    return CloudEvent(
        id=text_of(attributes["id"], "id of a CloudEvent"),
        source=text_of(attributes["source"], "source of a CloudEvent"),
        type=text_of(attributes["type"], "type of a CloudEvent"),
        time=None if time is None else moment_of(time, "time of a CloudEvent"),
        subject=None if subject is None else text_of(subject, "subject of a CloudEvent"),
        key=None if key is None else text_of(key, "partitionkey of a CloudEvent"),
        traceparent=traceparent_of(trace) if isinstance(trace, str) else None,
        extensions=extensions,
    )


def _as_text(name: str, value: Any) -> str:
    # Its types in JSON are text, whole numbers and booleans (CloudEvents JSON format, section 2.2).
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return text_of(str(value), f"attribute {name!r}")
    return text_of(value, f"attribute {name!r}")


def _unquoted(value: str) -> str:
    """A header's value without its percent-encoding (HTTP binding, section 3.1.3.2)."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise ContractError(f"A header's value isn't UTF-8: {value[:60]!r}.") from None
