"""The main program of a supervisor, `python -m tidemill.runtime.supervise '<json>'`: what `tidemill worker` turns into.

Not for people: `tidemill worker` is. That command is replaced as a program, since the libraries of a command line would
else stay in memory for as long as the workers live, a quarter of all that an idle one takes. So this must never import
anything but the standard library, nor a module of this package that does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import NoReturn

from tidemill.runtime.orders import Orders
from tidemill.runtime.supervisor import TOLD_BY, Supervisor
from tidemill.runtime.supervisor_log import SupervisorLog


@dataclass(frozen=True)
class Supervision:
    """What `tidemill worker` tells the supervisor to do.

    Args:
        processes: How many worker processes.
        orders: What each of them does.
        log: How to tell what becomes of them.
    """

    processes: int
    orders: Orders
    log: SupervisorLog

    def to_argument(self) -> str:
        """As a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Supervision:
        """From a command-line argument."""
        told = json.loads(argument)
        orders = Orders.from_argument(json.dumps(told["orders"]))
        return cls(told["processes"], orders, SupervisorLog(**told["log"]))


def become_supervisor(supervision: Supervision) -> NoReturn:
    """Replace this program by a supervisor, which keeps its process id, its standard streams and its signals.

    Call it before any thread or child process is started.

    Raises:
        OSError: Python can't be started anew; this program goes on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # What a program does on a signal is forgotten by execve(2), what it holds back is not: a signal that comes before
    # the supervisor can listen waits for it, instead of ending it hard or in a traceback.
    held_before = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_BY)
    try:
        os.execv(sys.executable, [sys.executable, "-m", "tidemill.runtime.supervise", supervision.to_argument()])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_before)


def main(argument: str) -> int:
    """Supervise as the argument describes; returns the exit status."""
    supervision = Supervision.from_argument(argument)
    return Supervisor(supervision.orders, supervision.processes, supervision.log.say).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
