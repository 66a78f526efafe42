"""Why a program died, read from the end of its log, in a sentence for people."""

from __future__ import annotations

import re
import signal
from pathlib import Path

TAIL_BYTES = 64 * 1024
# A log line's level, or the first line of a stack trace.
_TROUBLE = re.compile(
    r"\b(?:ERROR|FATAL)\b|^(?:Exception in thread|Caused by:|Error:|\S+(?:Exception|Error):)|Terminating due to"
)
_STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ][\d:,.]+\]?\s*(?:ERROR|FATAL|WARN|INFO)?\s*")


def tail(path: Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def reason(log: str) -> str | None:
    """The most telling line of a log: the last root cause, else the last error, else the last line.

    Args:
        log: The log's text, or its end.

    Returns:
        One line without its time stamp, at most 300 characters; None if the log says nothing.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    trouble = [line for line in lines if _TROUBLE.search(line)]
    causes = [line for line in trouble if line.startswith("Caused by:")]
    chosen = (causes or trouble or lines)[-1:]
    if not chosen:
        return None
    line = _STAMP.sub("", chosen[0]).removeprefix("Caused by: ")
    return line if len(line) <= 300 else line[:297] + "..."


def verdict(exit_status: int | None) -> str:
    """How a process ended, in words: `was killed by SIGKILL`, `ended with exit status 1`."""
    if exit_status is None:
        return "ended"
    if exit_status < 0:
        try:
            return f"was killed by {signal.Signals(-exit_status).name}"
        except ValueError:
            return f"was killed by signal {-exit_status}"
    return f"ended with exit status {exit_status}"
