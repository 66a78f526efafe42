"""What schemathesis has to be told of a gateway's OpenAPI document: its format `printable`, and bodies of lines."""

from __future__ import annotations

import json
import os
import re
from itertools import count
from typing import Any

import schemathesis
from hypothesis import strategies

from producers.gateway.events.openapi import PARAMETERS
from tests.crash.gateway_cases import BODY, PICTURE

KEY = re.compile(PARAMETERS["IdempotencyKey"]["schema"]["pattern"])
NUMBERS = count()
TOKEN_VARIABLE = "GATEWAY_TOKEN"
LINE = json.dumps({"type": "image.requested", "data": PICTURE}).encode()

LETTERS = strategies.characters(
    exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"), include_characters=" "
)
schemathesis.openapi.format("printable", strategies.text(LETTERS, min_size=1, max_size=50))
schemathesis.openapi.media_type(
    "application/x-ndjson",
    strategies.lists(strategies.sampled_from([BODY, LINE, b"{", b"[]", b""]), min_size=1).map(b"\n".join),
)


@schemathesis.deserializer("application/x-ndjson")
def lines(_: Any, response: Any) -> Any:
    """The document describes a line of such an answer: its first one."""
    return json.loads(response.content.split(b"\n")[0] or b'{"line": 1, "status": 202}')


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """A key or a CloudEvent's id that came before, with another body, is rightly refused: valid ones are made new."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = f"{key[:200]}{next(NUMBERS)}"
    at = (case.query or {}).get("at")
    # "At most ten years ahead" is a limit that moves, which JSON Schema can't say.
    if isinstance(at, str) and re.match("[0-9]{4}-", at) and at > "2036":
        case.query["at"] = f"2030{at[4:]}".replace("-02-29", "-02-28")
    event = case.body
    id_ = event.get("id") if isinstance(event, dict) and "specversion" in event else None
    if isinstance(id_, str) and 1 <= len(id_) <= 1_900:
        event["id"] = f"{id_}{next(NUMBERS)}"


@schemathesis.auth()
class Bearer:
    """The token, which schemathesis then also leaves out to see what happens."""

    def get(self, _: Any, __: Any) -> str:
        """The token."""
        return os.environ[TOKEN_VARIABLE]

    def set(self, case: Any, token: str, _: Any) -> None:
        """Send it."""
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
