"""TCP ports on 127.0.0.1: which is free, and who holds one that isn't.

A port found free can be taken a moment later; whoever starts a program on it must be ready for that.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

import psutil

from tidemill.errors import LocalError, PortTaken

HOST = "127.0.0.1"
# Below the ports that systems hand out to outgoing connections (from 32768 on Linux, 49152 elsewhere), so that none of
# those takes a port between our look and the program's start.
LOWEST, HIGHEST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a program could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    # BSD lets a specific address be bound beside a wildcard listener; that listener would still get in the way.
    return not is_open(port)


def is_open(port: int) -> bool:
    """Whether something accepts connections on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def any_free(count: int, *, avoid: Collection[int] = ()) -> list[int]:
    """So many different free ports, none of them in `avoid`.

    Raises:
        LocalError: No free port was found.
    """
    found: list[int] = []
    # Not the seeded generator: tests that seed it would make all runs on a machine pick the same ports.
    dice = random.SystemRandom()
    for _ in range(2_000):
        if len(found) == count:
            return found
        port = dice.randrange(LOWEST, HIGHEST)
        if port not in found and port not in avoid and is_free(port):
            found.append(port)
    raise LocalError(
        f"No {count} free ports between {LOWEST} and {HIGHEST} on {HOST}.", hint="See what listens there: `ss -ltnp`."
    )


def holder(port: int) -> str | None:
    """Name and pid of the program that listens on this port, e.g. `nginx (pid 4711)`; None if it can't be seen."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return None  # other users' processes are not shown to us
    return None


def require_free(port: int, *, what: str, option: str) -> None:
    """Refuse a port that is taken.

    Args:
        port: The wanted port.
        what: Who wants it, e.g. `Kafka`.
        option: The command-line option that chooses another one.

    Raises:
        LocalError: The port is taken; the message names its holder if it can be seen.
    """
    if is_free(port):
        return
    by = holder(port)
    raise PortTaken(
        f"Port {port} on {HOST}, wanted by {what}, is taken{f' by {by}' if by else ''}.",
        hint=f"Stop that program, or choose another port with `{option} PORT` (0: any free one), or use `--any-port`.",
    )
