"""POST to addresses that strangers have given us: one connection to an address that was looked at, one short answer.

No redirects, no proxies, no cookies; the answer's body isn't read but for its first bytes, and all of it has a time
limit. A connection is never made to an address that `may_connect` refuses: the socket itself is what asks, after names
were resolved. Must never put a URL into a message: its path and query may be secret.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from streams.notification.answers import NotNow, Refused
from streams.notification.public_address import may_connect
from streams.notification.settings import NotificationSettings
from streams.notification.turns import Turns
from tidemill.errors import OutcomeUnknown

MOST_CONNECTIONS = 100
MOST_CONNECTIONS_PER_HOST = 20
TURN_SECONDS = 3.0
"""How long a request waits until fewer are under way to its host."""
MOST_HEADER_BYTES = 8_190
READ_BYTES = 4_096
"""Of an answer's body; with more the connection is closed instead of being kept."""


class ForbiddenAddress(OSError):
    """A host's address is one that we don't connect to."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "it is no public address")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status.
        retry_after: Header of that name.
    """

    status: int
    retry_after: str | None


class Outbound:
    """Connections to receivers; one for an event loop.

    Args:
        settings: Time limits and allowed networks.
        ssl: What certificates are checked against; None for the system's.
    """

    def __init__(self, settings: NotificationSettings, ssl: Any = None) -> None:
        self._settings = settings
        self._ssl = ssl
        self._allowed = settings.allowed_networks
        self._session: aiohttp.ClientSession | None = None
        self._turns = Turns(MOST_CONNECTIONS_PER_HOST, TURN_SECONDS)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a body, and return what was answered.

        Args:
            url: Where.
            body: What.
            headers: Beside those of HTTP itself.

        Raises:
            Refused: The host is none, or has no address that may be connected to.
            NotNow: No connection, or too many of ours to that host already; nothing was sent.
            OutcomeUnknown: It was sent, at least in part, and no answer came.
        """
        where = urlsplit(url).netloc
        async with self._turns.at(where):
            return await self._post(url, body, headers, where)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str], where: str) -> Reply:
        try:
            async with self._open().post(url, data=body, headers=dict(headers), allow_redirects=False) as response:
                await response.content.read(READ_BYTES)
                return Reply(response.status, response.headers.get("Retry-After"))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            # Numbers for a host that are no address as it is written today: 2130706433, 0177.0.0.1.
            raise Refused(f"{where} is no host") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ForbiddenAddress):
                raise Refused(f"{where} isn't a public address") from None
            raise NotNow(f"no connection to {where}: {_why(error.os_error)}") from None
        except aiohttp.ConnectionTimeoutError:
            raise NotNow(f"no connection to {where} within {self._settings.connect_seconds:g} s") from None
        except TimeoutError:
            raise OutcomeUnknown(f"no answer from {where} within {self._settings.answer_seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"no proper answer from {where} ({type(error).__name__})") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=True if self._ssl is None else self._ssl,
                    limit=MOST_CONNECTIONS,
                    limit_per_host=MOST_CONNECTIONS_PER_HOST,
                    use_dns_cache=False,
                    socket_factory=self._socket,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=self._settings.answer_seconds, sock_connect=self._settings.connect_seconds
                ),
                headers={"User-Agent": "Tidemill"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=MOST_HEADER_BYTES,
                max_field_size=MOST_HEADER_BYTES,
            )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, sockaddr = address
        if not may_connect(str(sockaddr[0]), self._allowed):
            raise ForbiddenAddress
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            # Transports of TLS close in the loop's next rounds.
            await asyncio.sleep(0)
            self._session = None


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    return errno.errorcode.get(error.errno or 0, type(error).__name__)
