"""Whether a gateway can take events now: asked of the broker and, until it has answered once, of the registry.

Asked at most every two seconds, however many ask; an answer that doesn't come in time is a no.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tidemill import broker
from tidemill.errors import RegistryError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from producers.gateway.gateway import Gateway

KEEP_SECONDS = 2.0
ANSWER_SECONDS = 3.0


class Health:
    """Asks, and remembers.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._admin: AdminClient | None = None
        self._registry_has_answered = False
        self._asked_at = -KEEP_SECONDS
        self._found: dict[str, str] = {}
        self._asking = asyncio.Lock()

    async def faults(self) -> dict[str, str]:
        """What keeps it from taking events, by part; empty if nothing does."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= KEEP_SECONDS:
                self._found = await asyncio.to_thread(self._ask)
                self._asked_at = time.monotonic()
        faults = dict(self._found)
        if self._gateway.stopping.is_set():
            faults["gateway"] = "is stopping"
        elif self._gateway.waiting.is_nearly_full:
            faults["gateway"] = "is full of events that wait for Kafka"
        if self._gateway.tokens.is_stale:
            faults["tokens"] = "can't be read"
        return faults

    def _ask(self) -> dict[str, str]:
        faults = {}
        settings = self._gateway.settings
        if self._admin is None:
            self._admin = broker.admin_client(settings)
        try:
            description: Any = self._admin.describe_cluster(request_timeout=ANSWER_SECONDS)
            description.result(timeout=ANSWER_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the broker can't be used
            faults["kafka"] = f"doesn't answer ({type(error).__name__})"
        if not self._registry_has_answered:
            try:
                self._gateway.registry.subjects()
                self._registry_has_answered = True
            except RegistryError:
                faults["registry"] = "doesn't answer"
        return faults
