"""Run a command that the kernel kills when its parent dies: `python leash.py PARENT_PID COMMAND...` (Linux).

Becomes the command itself (exec), so that no process stays in between. Runs with -I -S: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); kept across exec, and sent when the thread that forked this process ends


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit("the parent process had ended before this one was tied to it")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
