"""`tidemill gateway`: events over HTTP."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producers.gateway.extra import require_extra
from producers.gateway.tokens.command import app as tokens
from tidemill.cli.terminal import command
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

EPILOG = """
\b
Examples:
  tidemill tokens create --name shop --publish 'image.*'
  tidemill gateway --port 8080 --workers 2
  curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}' \\
    http://127.0.0.1:8080/events/image.requested

\b
It answers 202 once Kafka has the event. On SIGTERM it finishes the requests that it has, and flushes.
All settings are in docs/gateway.md (TIDEMILL_GATEWAY_*).
"""


@command
def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.  [default: 8080]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port.  [default: 1]")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Let everybody on this machine in, without tokens.")] = False,
) -> None:
    """Take events over HTTP and publish them, until told to stop."""
    require_extra()
    from producers.gateway.settings import load_gateway_settings
    from tidemill.config import load_settings
    from tidemill.telemetry import configure_logging, get_logger

    given: dict[str, Any] = {"host": host, "port": port, "workers": workers, "open": open_ or None}
    settings = load_settings()
    gateway_settings = load_gateway_settings(**{name: value for name, value in given.items() if value is not None})
    check_access(settings, gateway_settings)
    configure_logging(settings)

    from producers.gateway.server import bound

    listening = bound(gateway_settings)
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    get_logger("gateway").info(
        "listening",
        url=f"http://{shown}:{address[1]}",
        workers=gateway_settings.workers,
        tokens="open" if gateway_settings.open else "needed",
    )
    try:
        if gateway_settings.workers == 1:
            from producers.gateway.server import serve

            serve(settings, gateway_settings, listening)
        else:
            from producers.gateway.workers import Workers

            Workers(settings, gateway_settings, listening).run()
    finally:
        listening.close()


def check_access(settings: Settings, gateway_settings: GatewaySettings) -> None:
    """Refuse to start where nobody could come in, or everybody could.

    Raises:
        ConfigError: There is no live token, or a gateway without tokens would be reached from other machines.
        TokensUnavailable: Their database doesn't answer.
    """
    if gateway_settings.open:
        if not _is_loopback(gateway_settings.host):
            raise ConfigError(
                f"A gateway without tokens listens on this machine alone, found --host {gateway_settings.host}.",
                hint="Leave --open out and make a token: `tidemill tokens create`.",
            )
        return
    from producers.gateway.tokens.store import TokenStore

    store = TokenStore(settings, gateway_settings)
    try:
        now = datetime.now(UTC)
        if not any(token.state(now) == "live" for token, _ in store.all()):
            raise ConfigError(
                f"There is no live token in {store.shown}, so that nobody could come in.",
                hint="Make one with `tidemill tokens create`, or give --open to let all of this machine in.",
            )
    finally:
        store.close()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.command(epilog=EPILOG)(gateway)
    main.add_typer(tokens, name="tokens")
