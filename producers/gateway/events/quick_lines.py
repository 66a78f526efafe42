"""Messages of lines that are plain, after the pattern of one that was made the exact way.

Topic, schema id and the headers that all events of a type share are those of the first message of a batch, so that they
are said in one place alone, the library's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from producers.gateway.events.options import repeated_id
from producers.gateway.events.quick import Quick, compile_quick
from tidemill import event as envelope
from tidemill.codec import PREFIX_BYTES
from tidemill.publisher.preparing import MOST_ENVELOPE_BYTES, Outgoing

if TYPE_CHECKING:
    from producers.gateway.tokens.token import Token
    from tidemill.contracts.contract import Contract

OWN = (envelope.ID, envelope.TIME, envelope.ROOT, envelope.TRACEPARENT)
"""Headers that each event has of its own; of others the exact way knows."""


@cache
def _quick(contract: Contract) -> Quick | None:
    return compile_quick(contract)


class QuickLines:
    """Makes the messages of one batch of one type.

    Args:
        contract: The type's.
        token: Whose idempotency key it is.
        key: Idempotency key of the whole batch.
        trace: W3C trace context of the whole batch.
        most_bytes: Largest event.
    """

    def __init__(self, contract: Contract, token: Token, key: str | None, trace: str | None, most_bytes: int) -> None:
        self._quick = _quick(contract)
        self.event_type, self._token, self._key = contract.type, token, key
        self._trace = [(envelope.TRACEPARENT, trace.encode())] if trace is not None else []
        self._most_bytes = most_bytes - MOST_ENVELOPE_BYTES
        self._pattern: tuple[str, bytes, list[tuple[str, bytes]]] | None = None

    def learn(self, message: Outgoing) -> None:
        """Take a message that was made the exact way for the pattern of the others."""
        if self._pattern is None and self._quick is not None:
            shared = [(name, value) for name, value in message.headers if name not in OWN]
            self._pattern = (message.topic, message.value[:PREFIX_BYTES], shared)

    def message(self, number: int, line: bytes) -> Outgoing | None:
        """The message of a line; None where it takes the exact way.

        Args:
            number: Of the line, from 1.
            line: Its bytes.
        """
        if self._pattern is None or self._quick is None or len(line) > self._most_bytes:
            return None
        found = self._quick(line)
        if found is None:
            return None
        body, key = found
        topic, prefix, shared = self._pattern
        event_id = (
            str(uuid7()) if self._key is None else repeated_id(self._token, self.event_type, f"{self._key}#{number}")
        )
        raw_id = event_id.encode()
        headers = [
            *shared,
            (envelope.ID, raw_id),
            (envelope.TIME, datetime.now(UTC).isoformat().encode()),
            (envelope.ROOT, raw_id),
            *self._trace,
        ]
        return Outgoing(event_id, topic, None if key is None else key.encode(), prefix + body, headers)
