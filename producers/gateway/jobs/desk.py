"""What the routes of jobs share: the table of jobs, who follows it, the store that results lie in. One per gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from producers.gateway.jobs.places import Places
from producers.gateway.jobs.watch import JobWatch
from tidemill.jobs import Jobs
from tidemill.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request

    from producers.gateway.gateway import Gateway
    from producers.gateway.jobs.settings import JobSettings

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


class JobDesk:
    """The parts.

    Args:
        gateway: Whose.
        settings: Limits and times.

    Raises:
        ConfigError: The table of jobs or the store is none that can be used.
    """

    def __init__(self, gateway: Gateway, settings: JobSettings) -> None:
        self._gateway = gateway
        self.settings = settings
        self.jobs = Jobs(gateway.settings)
        self.store = Store.from_settings(gateway.settings)
        # Threads of their own: a database that hangs doesn't hold up what others do in threads.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="jobs")
        self.watch = JobWatch(self.jobs, self.settings.beat_seconds, self.run, gateway.metrics.job_looks.inc)
        self.streams = Places(
            "event streams and waiting requests", self.settings.streams, self.settings.streams_per_token
        )

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    def take_place(self, token_id: str) -> None:
        """Take a place for a request that lasts; raises Problem as `Places.take`."""
        self.streams.take(token_id)
        self._gateway.lasting += 1
        self._gateway.metrics.lasting.inc()

    def leave_place(self, token_id: str) -> None:
        """Give it back."""
        self._gateway.lasting -= 1
        self._gateway.metrics.lasting.dec()
        self.streams.leave(token_id)

    async def close(self) -> None:
        """Look no more, and leave the database."""
        await self.watch.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.jobs.close()


def desk_of(request: Request) -> JobDesk:
    """The desk of the gateway that a request came to; made when it is first asked for.

    Raises:
        ConfigError: As `JobDesk`.
    """
    state = request.app.state
    desk: JobDesk | None = getattr(state, "job_desk", None)
    if desk is None:
        gateway: Gateway = state.gateway
        desk = state.job_desk = JobDesk(gateway, state.job_settings)
        gateway.at_end.append(desk.close)
    return desk
