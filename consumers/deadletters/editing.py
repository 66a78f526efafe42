"""Changes payloads on their way back: their JSON form is patched, checked against the contract, and encoded anew."""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumers.deadletters.patching import check_patch, patched
from consumers.deadletters.topics import source_of
from tidemill.errors import ContractError, DeadLetterError
from tidemill.json_events import parse_json

if TYPE_CHECKING:
    from consumers.deadletters.outgoing import Outgoing
    from consumers.deadletters.payloads import Payloads

MOST_PATCH_BYTES = 1_000_000


class Edit:
    """A patch for the payloads of letters.

    Args:
        patch: What `read_patch` gives.
        payloads: Decodes and encodes.
    """

    def __init__(self, patch: Any, payloads: Payloads) -> None:
        self.text = json.dumps(patch, separators=(",", ":"), default=float)
        self._patch = patch
        self._payloads = payloads

    def applied(self, event: Outgoing) -> Outgoing:
        """An event with its payload changed. Its key is changed only where the payload's key field is.

        Raises:
            DecodeError: It can't be read as its contract is now.
            DeadLetterError: No contract is installed, or the patch doesn't fit the payload.
            ContractError: What it would become doesn't fit the contract.
            RegistryError: The registry doesn't answer.
        """
        cls = self._payloads.class_of(source_of(event.letter.topic))
        before = self._payloads.as_now(cls, event.value)
        after = patched(before, self._patch)
        value, key = self._payloads.encoded(cls, after)
        _, key_before = self._payloads.encoded(cls, before)
        if key != key_before:
            return replace(event, value=value, key=None if key is None else key.encode(), partition=None)
        return replace(event, value=value)

    def diff(self, event: Outgoing) -> list[str]:
        """What the patch changes in a payload, as lines of a unified diff; raises as `applied` does."""
        cls = self._payloads.class_of(source_of(event.letter.topic))
        before = self._payloads.as_now(cls, event.value)
        after = self._payloads.as_now(cls, self.applied(event).value)
        lines = difflib.unified_diff(_lines(before), _lines(after), "as it died", "as it goes back", lineterm="")
        return list(lines)


def _lines(data: Any) -> list[str]:
    return json.dumps(data, indent=2, ensure_ascii=False).splitlines()


def read_patch(path: Path) -> Any:
    """The patch in a file.

    Raises:
        DeadLetterError: It can't be read, or isn't a patch.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_PATCH_BYTES + 1)
    except OSError as error:
        raise DeadLetterError(f"The patch {path} can't be read: {error.strerror or error}.") from error
    if len(data) > MOST_PATCH_BYTES:
        raise DeadLetterError(f"The patch {path} has more than {MOST_PATCH_BYTES:,} bytes.")
    try:
        patch = parse_json(data)
    except ContractError as error:
        raise DeadLetterError(f"The patch {path} can't be used: {error.message}", hint=error.hint) from error
    check_patch(patch)
    return patch
