"""`python -m streams.video.confined LIMITS PROGRAM ARGUMENT...`: becomes the program, under limits that it can't lift.

Not a function between fork and exec, which may run nothing that takes a lock. Relies on POSIX limits and, on Linux, on
the kernel to end the program with its parent. Must not start anything else.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass

from tidemill.runtime.parent import die_with_parent


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Attributes:
        cpu_seconds: Of all its threads together.
        memory_bytes: Private memory that it may write to (RLIMIT_DATA).
        file_bytes: Largest file that it may write.
    """

    cpu_seconds: int
    memory_bytes: int
    file_bytes: int


def confined(limits: Limits, command: list[str]) -> list[str]:
    """The command line that runs a command under limits, as a child of this process that doesn't outlive it."""
    return [sys.executable, "-m", __name__, json.dumps({**asdict(limits), "parent": os.getpid()}), *command]


def main(arguments: list[str]) -> None:
    """Take on the limits and become the program."""
    facts = json.loads(arguments[0])
    die_with_parent(parent=facts.pop("parent"))
    limits = Limits(**facts)
    for kind, most in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    # Python ignores them, and a program inherits that: it would go on writing to a full file or a closed pipe.
    for signum in (signal.SIGXFSZ, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_DFL)
    os.execv(arguments[1], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
