"""Asking the owner of a job's partition for a run by hand, and waiting for its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scheduler.log import partitions_of
from scheduler.ticks.applying import write
from scheduler.ticks.books import ANSWER, TICK, key_of
from scheduler.topics import JOBS
from tidemill.tail import Tail

if TYPE_CHECKING:
    from scheduler.ticks.books import RunRequest
    from tidemill.config import Settings


def ask_for_run(settings: Settings, request: RunRequest, timeout_seconds: float) -> tuple[str, str | None] | None:
    """Ask for a run.

    Args:
        settings: Addresses, namespace.
        request: What is asked for.
        timeout_seconds: How long to wait for the answer.

    Returns:
        The answer, and the id of the tick if there is one; None where nobody answered in time. The request stays then.

    Raises:
        BrokerError: It can't be asked.
    """
    partitions_of(settings, JOBS.name)
    key = key_of("run", request.id)
    with Tail(settings, [JOBS.name]) as tail:
        write(settings, [(request.job, "run", request.id, request)])
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            for message in tail.read(min(left, 1.0)):
                if message.key() == key and message.value() is None:
                    headers = dict(message.headers() or ())
                    tick = headers.get(TICK)
                    return _text(headers.get(ANSWER)), None if tick is None else _text(tick)
    return None


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
