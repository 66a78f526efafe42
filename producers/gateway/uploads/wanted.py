"""What an upload's client says of it: a name, digests, and the event that is to be published. Computes only.

A name is for people: it is told back, and never becomes a part of a path. A digest that can't be checked is refused, so
that nobody believes it was.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from producers.gateway.errors import Problem
from producers.gateway.events import options
from producers.gateway.events.decoding import parsed
from tidemill.contracts.faults import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import Headers, QueryParams

MOST_NAME_CHARACTERS = 200
_PARAMETERS = ("name", "sha256", "publish", "payload", *options.NAMES)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):")
_FILE_NAME = re.compile(r';\s*filename="((?:[^"\\]|\\.)*)"|;\s*filename=([^\s;"]+)', re.IGNORECASE)
_EVENT_MEMBERS = ("type", "payload", *options.NAMES)


@dataclass(frozen=True, slots=True)
class WantedEvent:
    """The event that an upload is to publish."""

    type: str
    payload: dict[str, Any]
    """Without the source, which is the upload."""
    said: dict[str, Any]
    """Key, subject, delay and time, as they were written."""

    @property
    def options(self) -> options.Options:
        """Key, subject, delay and time.

        Raises:
            ContractError: One isn't what it should be.
        """
        return options.options_of(self.said)


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is said of an upload."""

    name: str | None = None
    sha256: str | None = None
    """Of the file."""
    body_sha256: str | None = None
    """Of the request's body, by its header Content-Digest; the file's own where the body is the file."""
    event: WantedEvent | None = None

    def with_fields(self, file_name: str | None, fields: Mapping[str, bytes]) -> Wanted:
        """The same with what a form says besides.

        Raises:
            Problem: It says otherwise, or something that can't be read.
        """
        event, sha256 = self.event, self.sha256
        if "sha256" in fields:
            said = _sha256(fields["sha256"].decode("utf-8", "replace").strip(), "sha256")
            if sha256 not in (None, said):
                raise Problem("bad-request", "The form's field sha256 and the parameter sha256 differ.")
            sha256 = said
        if "event" in fields:
            if event is not None:
                raise Problem(
                    "bad-request", "An event is asked for twice: by ?publish= and by the form's field `event`."
                )
            event = _event(parsed(fields["event"]))
        return replace(self, name=self.name or plain_name(file_name), sha256=sha256, event=event)


def wanted_of(query: QueryParams, headers: Headers) -> Wanted:
    """What a request's parameters and headers say.

    Raises:
        Problem: Something that isn't known, or can't be read.
    """
    for name, values in ((name, query.getlist(name)) for name in query):
        if name not in _PARAMETERS:
            raise Problem(
                "bad-request",
                f"There is no parameter {name[:80]!r}.",
                hint=did_you_mean(name, _PARAMETERS) or f"There are {', '.join(_PARAMETERS)}.",
                field=name[:80],
            )
        if len(values) > 1:
            raise Problem("bad-request", f"The parameter {name} is there more than once.", field=name)
    sha256 = query.get("sha256")
    event = None
    if "publish" in query:
        said = {name: query[name] for name in options.NAMES if name in query}
        event = WantedEvent(
            query["publish"], _payload(parsed(query.get("payload", "{}").encode("utf-8", "surrogatepass"))), said
        )
    elif rest := query.keys() & {"payload", *options.NAMES}:
        raise Problem(
            "bad-request", f"There is {min(rest)}, but no type to publish.", hint="Add publish=image.requested."
        )
    return Wanted(
        name=plain_name(query.get("name") or _disposition_name(headers.get("content-disposition", ""))),
        sha256=None if sha256 is None else _sha256(sha256, "sha256"),
        body_sha256=_content_digest(headers.getlist("content-digest")),
        event=event,
    )


def plain_name(name: str | None) -> str | None:
    """A file's name as it may be shown: its last part, one line, at most 200 characters; None where nothing is left."""
    if name is None:
        return None
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(char for char in unicodedata.normalize("NFC", last) if char.isprintable())
    return shown.strip()[:MOST_NAME_CHARACTERS] or None


def _event(said: Any) -> WantedEvent:
    if not isinstance(said, dict) or not isinstance(said.get("type"), str) or not said.keys() <= set(_EVENT_MEMBERS):
        raise Problem(
            "bad-request",
            f"The form's field `event` must be an object with a type and some of {', '.join(_EVENT_MEMBERS[1:])}.",
            hint='E.g. {"type": "image.requested", "payload": {"renditions": [{"name": "card", "width": 480}]}}.',
            field="event",
        )
    return WantedEvent(
        said["type"],
        _payload(said.get("payload", {})),
        {name: said[name] for name in options.NAMES if name in said},
    )


def _payload(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Problem("bad-request", "The payload must be a JSON object.", field="payload")
    if "source" in said:
        raise Problem(
            "bad-request", "The payload has a source; it is the upload itself.", hint="Leave it out.", field="payload"
        )
    return said


def _sha256(text: str, field: str) -> str:
    if not _SHA256.fullmatch(text.lower()):
        raise Problem("bad-request", f"{field} must be 64 hex digits, found {text[:80]!r}.", field=field)
    return text.lower()


def _content_digest(values: list[str]) -> str | None:
    """SHA-256 of the header Content-Digest (RFC 9530), in hex."""
    if not values:
        return None
    found = dict(_DIGEST.findall(", ".join(values)))
    try:
        digest = base64.b64decode(found.get("sha-256", ""), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Problem(
            "bad-request",
            "The header Content-Digest holds no SHA-256 that can be checked.",
            hint="Write it as RFC 9530 says, sha-256=:...: in base64, or leave it out.",
            headers={"Want-Content-Digest": "sha-256=10"},
        )
    return digest.hex()


def _disposition_name(header: str) -> str | None:
    found = _FILE_NAME.search(f";{header.partition(';')[2]}")
    if found is None:
        return None
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
