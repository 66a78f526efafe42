"""Serves a gateway in this process, until a signal: then it takes no more, finishes what it has, and flushes."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from producers.gateway.app import make_app
from producers.gateway.gateway import Gateway
from producers.gateway.protocol import protocol_for
from tidemill.errors import ConfigError
from tidemill.service import collect_seldom

if TYPE_CHECKING:
    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 60
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def bound(gateway_settings: GatewaySettings) -> socket.socket:
    """The socket that a gateway listens on.

    Raises:
        ConfigError: Its address can't be used, or is taken.
    """
    host, port = gateway_settings.host, gateway_settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"The gateway can't listen on {host}:{port}: {error.strerror or error}.",
            hint="Choose another address with --host and --port.",
        ) from error
    listening.set_inheritable(True)
    return listening


class Server(uvicorn.Server):
    """uvicorn's server, which tells its gateway that it is to stop.

    Args:
        gateway: What is served.
    """

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.gateway_settings
        super().__init__(
            uvicorn.Config(
                make_app(gateway.settings, settings, gateway=gateway),
                http=protocol_for(settings),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=round(settings.shutdown_seconds),
            )
        )
        self._gateway = gateway

    def stop(self) -> None:
        """Take no more, and end; from the thread of the server's loop, or a signal's handler in it."""
        self._gateway.stopping.set()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came; a second SIGINT doesn't wait for requests."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while it serves; unlike uvicorn's own, they aren't raised again: stopping so is success."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {signum: signal.signal(signum, self.handle_exit) for signum in SIGNALS}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def serve(settings: Settings, gateway_settings: GatewaySettings, listening: socket.socket) -> None:
    """Serve until a signal comes."""
    # The registry's client takes a third of a second to import, which the first request would wait for.
    import_module("confluent_kafka.schema_registry")
    # It warns of each request that isn't HTTP, which anybody can send by the thousand.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    collect_seldom()
    Server(Gateway(settings, gateway_settings)).run([listening])
