"""What uploads share: limits, threads to write in, the store that they go to. One per gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from producers.gateway.jobs.places import Places
from tidemill.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request

    from producers.gateway.gateway import Gateway
    from producers.gateway.uploads.settings import UploadSettings

P = ParamSpec("P")
T = TypeVar("T")


class UploadDesk:
    """The parts.

    Args:
        gateway: Whose.
        settings: Limits.

    Raises:
        ConfigError: The store is none that can be used.
    """

    def __init__(self, gateway: Gateway, settings: UploadSettings) -> None:
        self.settings = settings
        self.store = Store.from_settings(gateway.settings)
        # Not the temporary folder, which is memory on many machines.
        self.spool_folder = self.settings.spool_dir or gateway.settings.state_dir / "spool"
        self.places = Places("uploads", self.settings.at_once, self.settings.at_once_per_token)
        # Threads of their own: slow disks and stores don't hold up what others do in threads.
        self._threads = ThreadPoolExecutor(self.settings.at_once, thread_name_prefix="upload")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Let the threads end."""
        await asyncio.to_thread(self._threads.shutdown)


def desk_of(request: Request) -> UploadDesk:
    """The desk of the gateway that a request came to; made when it is first asked for.

    Raises:
        ConfigError: As `UploadDesk`.
    """
    state = request.app.state
    desk: UploadDesk | None = getattr(state, "upload_desk", None)
    if desk is None:
        gateway: Gateway = state.gateway
        desk = state.upload_desk = UploadDesk(gateway, state.upload_settings)
        gateway.at_end.append(desk.close)
    return desk
