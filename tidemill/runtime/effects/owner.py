"""Who is at an effect: a process, by a token of its own, and what shows on its own machine that it is gone.

A process number says something only on the machine and in the container that it is from, until that is started again:
all of it is part of the name. Reads /proc (Linux); elsewhere nobody is known to be gone, and the pulse decides.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

MOST_NAME_CHARACTERS = 250


@dataclass(frozen=True, slots=True)
class Owner:
    """One process that does effects for one stream."""

    token: str
    """Different for each that ever was."""
    name: str
    """For people: host and process number."""
    place: str | None
    """Machine, container, process and its start, as `is_gone` reads it; None where the system doesn't tell."""


def this_process() -> Owner:
    """A new owner: this process, under a new token."""
    pid = os.getpid()
    started = _start_of(pid)
    home = _home()
    place = f"{home} {pid} {started}" if home is not None and started is not None else None
    return Owner(secrets.token_hex(8), f"{socket.gethostname()}:{pid}"[:MOST_NAME_CHARACTERS], place)


def is_gone(place: str | None) -> bool:
    """Whether the process at this place has surely ended; False also where nobody here can tell."""
    home, _, process = (place or "").rpartition(" ")[0].rpartition(" ")
    started = (place or "").rpartition(" ")[2]
    if not home or home != _home() or not process.isdigit():
        return False
    found = _start_of(int(process))
    return found != started if found is not None else not _is_there(int(process))


def _home() -> str | None:
    """This start of this machine, and the container (its namespace of process numbers)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_there(pid: int) -> bool:
    """Whether there is a process of this number, also one that /proc hides (its option `hidepid`); a zombie is none."""
    if Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> str | None:
    """When a process was started, in ticks since the machine was; None where there is none, or it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # proc(5): the name is in parentheses and may hold anything; the state is the third field, the start the 22nd.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZXx" else fields[19]
