"""What the routes of a gateway share: settings, publisher, tokens, limits. One per process, in `app.state.gateway`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producers.gateway.events.avro_body import AvroBodies
from producers.gateway.events.repeats import Repeats
from producers.gateway.metrics import Metrics
from producers.gateway.tokens.book import TokenBook
from producers.gateway.tokens.store import TokenStore
from producers.gateway.waiting import Waiting
from tidemill.codec import Codec
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.contracts.registry import Registry
from tidemill.errors import TidemillError
from tidemill.publisher import AsyncPublisher
from tidemill.publisher.preparing import Preparer
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

FLUSH_SECONDS = 5.0
"""How long a gateway that ends still delivers what was taken; whoever asked for it has gone by then."""


class Gateway:
    """The parts of a running gateway.

    Args:
        settings: Addresses of broker and registry.
        gateway_settings: Limits and times.
        publisher: Publishes; default: one of its own, which gives events up as soon as their senders are told so.
        codec: The publisher's codec, where that is given.
        events: The types that are taken; default: those of all contracts that are installed.
    """

    def __init__(
        self,
        settings: Settings,
        gateway_settings: GatewaySettings,
        *,
        publisher: AsyncPublisher | None = None,
        codec: Codec | None = None,
        events: Catalogue | None = None,
    ) -> None:
        self.gateway_settings = gateway_settings
        self.settings = settings.model_copy(
            update={
                "delivery_timeout_seconds": gateway_settings.acknowledge_seconds,
                "buffer_wait_seconds": min(1.0, gateway_settings.acknowledge_seconds),
            }
        )
        self.events = events or installed_events()
        self.registry = Registry(settings)
        codec = codec or Codec(self.registry)
        self.publisher = publisher or AsyncPublisher(self.settings, codec=codec)
        self.preparer = Preparer(self.settings, codec)
        self.avro = AvroBodies(codec, self.registry)
        self.repeats = Repeats(gateway_settings.repeats, gateway_settings.repeat_seconds)
        store = None if gateway_settings.open else TokenStore(settings, gateway_settings)
        self.tokens = TokenBook(store, gateway_settings.token_seconds, share=1 / gateway_settings.workers)
        self.metrics = Metrics()
        self.waiting = Waiting(gateway_settings.waiting_bytes)
        self.stopping = asyncio.Event()
        """Set when the gateway is told to stop: what has no end of its own ends then."""
        self.lasting = 0
        """Requests that last by their nature (event streams), which have a limit of their own."""
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        """Called when the gateway ends, before its publisher is closed."""
        self._log = get_logger("gateway")

    def internal_type(self, event_type: str) -> bool:
        """Whether the setting `internal_types` names a type."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.gateway_settings.internal_types)

    async def open(self) -> None:
        """Read the tokens and connect to the broker, which needn't answer yet.

        Raises:
            TokensUnavailable: The tokens can't be read.
        """
        await self.tokens.open()
        self.publisher.open()

    async def close(self) -> None:
        """Deliver what was taken, and stop."""
        self.stopping.set()
        for end in self.at_end:
            await end()
        try:
            await self.publisher.close(FLUSH_SECONDS)
        except TidemillError as error:
            # Each sender was told of its event; this is for whoever runs the gateway.
            self._log.error("not everything was delivered at the end", error=str(error))
        await self.tokens.close()
        self.registry.close()
