"""What `tidemill doctor` says of the gateway, by the entry point `tidemill.checks`: whether it can take events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException

from producers.gateway.settings import GatewaySettings, load_gateway_settings
from producers.gateway.tokens.store import FILE, TokenStore, TokensUnavailable
from tidemill.cli.finding import Finding
from tidemill.config import Settings

NAME = "gateway"
ANSWER_SECONDS = 5.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def check_gateway(settings: Settings) -> Finding:
    """Whether the gateway that this environment means is ready; one that has no token was never set up."""
    gateway_settings = load_gateway_settings()
    if gateway_settings.url is None and not (settings.state_dir / FILE).exists() and not gateway_settings.open:
        return Finding(NAME, None, "none is set up (`tidemill tokens create`)")
    live = ""
    if not gateway_settings.open:
        store = TokenStore(settings, gateway_settings)
        try:
            now = datetime.now(UTC)
            count = sum(token.state(now) == "live" for token, _ in store.all())
        except TokensUnavailable as error:
            return Finding(NAME, False, error.message.rstrip("."), error.hint)
        finally:
            store.close()
        live = f", {count} live {'token' if count == 1 else 'tokens'}"
    address = f"{gateway_settings.host}:{gateway_settings.port}"
    try:
        status, faults = _ready(gateway_settings)
    except (OSError, HTTPException, ValueError) as error:
        return Finding(
            NAME, False, f"nothing answers at {address} ({error}){live}", "Is it running? `tidemill gateway`"
        )
    if status != 200:
        told = "; ".join(f"{part} {what}" for part, what in faults.items()) or f"HTTP {status}"
        return Finding(NAME, False, f"the one at {address} isn't ready: {told}{live}", "Its log says more.")
    return Finding(NAME, True, f"ready at {address}{live}")


def _ready(gateway_settings: GatewaySettings) -> tuple[int, dict[str, str]]:
    host = ANY_ADDRESS.get(gateway_settings.host, gateway_settings.host)
    connection = HTTPConnection(host, gateway_settings.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = json.loads(response.read())
        return response.status, body.get("faults", {}) if isinstance(body, dict) else {}
    finally:
        connection.close()
