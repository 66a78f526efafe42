"""Several processes that serve one gateway's port; one that dies is started again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from producers.gateway.metrics import FOLDER_VARIABLE
from tidemill.runtime.parent import die_with_parent
from tidemill.service import until_told
from tidemill.telemetry import configure_logging, get_logger

if TYPE_CHECKING:
    import socket

    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

PAUSE_SECONDS = 1.0
"""Before a worker that has died is started again."""
FAREWELL_SECONDS = 10.0
"""How much longer than `shutdown_seconds` a worker may take to end."""


def _serve(settings: Settings, gateway_settings: GatewaySettings, listening: socket.socket, parent: int) -> None:
    from producers.gateway.server import serve

    die_with_parent(signal.SIGTERM, parent=parent)
    configure_logging(settings)
    serve(settings, gateway_settings, listening)


class Workers:
    """The processes.

    Args:
        settings: Addresses.
        gateway_settings: `workers`, and what each serves with.
        listening: The socket that they share.
    """

    def __init__(self, settings: Settings, gateway_settings: GatewaySettings, listening: socket.socket) -> None:
        self._settings, self._gateway_settings, self._listening = settings, gateway_settings, listening
        self._context = multiprocessing.get_context("spawn")
        self._stopping = False
        self._log = get_logger("gateway")

    def run(self) -> None:
        """Keep them running until a signal comes, then wait until they have ended."""
        until_told(self._stop)
        with tempfile.TemporaryDirectory(prefix="tidemill-gateway-") as folder:
            os.environ[FOLDER_VARIABLE] = folder
            processes = [self._started() for _ in range(self._gateway_settings.workers)]
            try:
                while not self._stopping:
                    wait([process.sentinel for process in processes], timeout=0.5)
                    processes = [process if process.is_alive() else self._again(process) for process in processes]
            finally:
                self._end(processes)
                del os.environ[FOLDER_VARIABLE]

    def _stop(self) -> None:
        self._stopping = True

    def _started(self) -> SpawnProcess:
        process = self._context.Process(
            target=_serve, args=(self._settings, self._gateway_settings, self._listening, os.getpid()), daemon=False
        )
        process.start()
        return process

    def _again(self, dead: SpawnProcess) -> SpawnProcess:
        if self._stopping:
            return dead
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(dead.pid)  # type: ignore[no-untyped-call]
        self._log.error("a worker has died; another one takes its place", pid=dead.pid, exit_code=dead.exitcode)
        time.sleep(PAUSE_SECONDS)
        return self._started()

    def _end(self, processes: list[SpawnProcess]) -> None:
        for process in processes:
            if process.is_alive():
                process.terminate()
        ends_at = time.monotonic() + self._gateway_settings.shutdown_seconds + FAREWELL_SECONDS
        for process in processes:
            process.join(max(0.0, ends_at - time.monotonic()))
            if process.is_alive():
                self._log.error("a worker didn't end in time and is killed", pid=process.pid)
                process.kill()
                process.join()
