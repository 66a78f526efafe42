"""A Redis of our own for the contenders that need one: a free port, its data in a temporary folder, gone afterwards.

Speaks Redis's inline commands over a socket, so that no client has to be installed. Nothing is saved to disk, which is
to Redis's advantage. Must not touch a Redis that isn't its own.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.local import ports

READY_SECONDS = 10.0


class RedisServer:
    """One that runs.

    Args:
        port: Its port on 127.0.0.1.
        pid: Its process.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @property
    def url(self) -> str:
        """Its address, database 0."""
        return f"redis://{ports.HOST}:{self.port}/0"

    def empty(self) -> None:
        """Delete everything in it.

        Raises:
            RuntimeError: It answers something else than OK.
        """
        if (answer := self._ask("FLUSHALL")) != "+OK":
            raise RuntimeError(f"Redis answers FLUSHALL with {answer!r}, expected '+OK'.")

    def answers(self) -> bool:
        """Whether it is there and has loaded."""
        try:
            return self._ask("PING") == "+PONG"
        except OSError:
            return False

    def _ask(self, command: str) -> str:
        with socket.create_connection((ports.HOST, self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.makefile().readline().strip()


def installed() -> str | None:
    """Path of `redis-server`, if this machine has one."""
    return shutil.which("redis-server")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A Redis for the time of the block.

    Args:
        folder: Where it may write.

    Raises:
        RuntimeError: It isn't installed, or didn't answer in time.
    """
    program = installed()
    if program is None:
        raise RuntimeError("redis-server isn't installed.")
    (port,) = ports.any_free(1)
    arguments = [program, "--port", str(port), "--bind", ports.HOST, "--dir", str(folder), "--save", ""]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = RedisServer(port, process.pid)
        deadline = time.monotonic() + READY_SECONDS
        while not server.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server doesn't answer:\n{(folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(10)
