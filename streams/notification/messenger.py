"""Chat and SMS through Apprise, which knows some 180 services; one call of it is one notice to one address.

Apprise answers yes or no, and says the rest in its log. That may hold tokens and telephone numbers, so it is caught
here and goes nowhere; of it only the HTTP status is used. Its own connections are not ours to bound beyond its time
limits, which is why only operators enter such addresses, and only for services that are allowed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.exception import AppriseException

from streams.notification.answers import NotNow, Refused
from streams.notification.content import Content
from tidemill.errors import OutcomeUnknown

MOST_THREADS = 16
_STATUS = re.compile(r"\berror[=:]\s?(\d{3})\b")
_said: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("apprise_said", default=None)


class _Caught(logging.Handler):
    """Keeps what Apprise logs with the call that it belongs to, which has a thread and so a context of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _said.get()
        if said is not None:
            said.append(record.getMessage())


def _catch_log() -> None:
    log = logging.getLogger("apprise")
    if not any(isinstance(handler, _Caught) for handler in log.handlers):
        log.handlers[:] = [_Caught()]
        log.propagate = False
        log.setLevel(logging.WARNING)
    # Its lines for debugging hold the paths of addresses, where many services have their tokens.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


def plugin_of(url: str) -> Any:
    """Apprise's plugin for a URL; None where it understands none.

    Args:
        url: As Apprise writes it.
    """
    _catch_log()
    asset = AppriseAsset(
        app_id="Tidemill",
        app_desc="Tidemill",
        app_url="",
        # What a service answers mustn't lead us elsewhere.
        http_redirects=False,
        secure_logging=True,
    )
    return Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


class Messenger:
    """Sends to services of Apprise, each call in a thread.

    Args:
        answer_seconds: For the whole of a call.
    """

    def __init__(self, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="apprise")

    async def send(self, secret: dict[str, Any], content: Content) -> None:
        """Send a text.

        Args:
            secret: The service's URL.
            content: What to say; Apprise cuts it to what the service takes.

        Raises:
            Refused: The service doesn't take it.
            NotNow: The service refuses it for now.
            OutcomeUnknown: Apprise has failed, and doesn't say whether the service got it.
        """
        call = asyncio.get_running_loop().run_in_executor(self._threads, _notify, secret["url"], content)
        try:
            is_sent, statuses, service = await asyncio.wait_for(call, self._answer_seconds)
        except TimeoutError:
            raise OutcomeUnknown(f"no answer within {self._answer_seconds:g} s") from None
        if is_sent:
            return
        if not statuses:
            raise OutcomeUnknown(f"{service} can't be reached, or gave no proper answer")
        status = max(statuses)
        if 400 <= status < 500 and status not in (408, 425, 429):
            raise Refused(f"{service} answers {status}")
        raise NotNow(f"{service} answers {status}")

    def close(self) -> None:
        """Let its threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _notify(url: str, content: Content) -> tuple[bool, list[int], str]:
    """Whether Apprise has sent it, the HTTP statuses that it complained of, and the service's name."""
    plugin = plugin_of(url)
    if plugin is None:
        return False, [400], "Apprise doesn't know this service any more and"
    said: list[str] = []
    token = _said.set(said)
    try:
        is_sent = bool(
            plugin.notify(
                title=content.title,
                body=content.text or content.title,
                notify_type=NotifyType.INFO,
                body_format=NotifyFormat.TEXT,
            )
        )
    except (AppriseException, TypeError, ValueError, OSError):
        is_sent = False
    finally:
        _said.reset(token)
    statuses = [int(found) for line in said for found in _STATUS.findall(line)]
    return is_sent, statuses, str(plugin.service_name)
