"""The difference between this machine's clock and the schema registry's, by the Date header of an HTTP answer."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tidemill.errors import RegistryError

if TYPE_CHECKING:
    from tidemill.config import Settings

TIMEOUT_SECONDS = 5.0


def skew_seconds(settings: Settings) -> float | None:
    """Seconds that this machine's clock is ahead of the registry's; negative where it is behind.

    Exact to about a second, since the header tells whole seconds. Any answer has it, a refusal too, so no user or
    password is sent.

    Returns:
        None where the registry sends no date.

    Raises:
        RegistryError: It doesn't answer.
    """
    parts = urlsplit(settings.registry_url)
    connection = _connection(settings, parts.scheme, parts.hostname or "", parts.port)
    try:
        before = time.time()
        connection.request("HEAD", parts.path or "/")
        date = connection.getresponse().getheader("Date")
        after = time.time()
    except (OSError, HTTPException) as error:
        raise RegistryError(f"{parts.hostname}:{parts.port} doesn't answer: {error}.") from error
    finally:
        connection.close()
    return None if date is None else difference_seconds(date, before, after)


def difference_seconds(date: str, before: float, after: float) -> float | None:
    """How far a clock that was read between two moments of this machine's is from it.

    Args:
        date: The other clock's time as an HTTP date, cut to whole seconds.
        before: This machine's time before it was asked, seconds since 1970.
        after: The same after the answer.

    Returns:
        This machine's time minus the other's, 0.0 where both may agree; None where it is no date.
    """
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    # Their clock stood somewhere in [theirs, theirs + 1) while ours stood in [before, after].
    if before >= theirs + 1:
        return before - (theirs + 1)
    return after - theirs if after < theirs else 0.0


def _connection(settings: Settings, scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme != "https":
        return HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    return HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
