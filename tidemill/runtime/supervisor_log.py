"""The supervisor's lines in the log, of the same shape as those of its worker processes (`tidemill.telemetry`).

Standard library only: the libraries that write the workers' lines would take more memory than all else in a supervisor.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
LOGGER = "tidemill.supervisor"
_COLORS = {"warning": "\x1b[33m", "error": "\x1b[31m"}
_BOLD, _DIM, _BLUE, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[34m", "\x1b[0m"


@dataclass(frozen=True)
class SupervisorLog:
    """Where the supervisor's lines go: standard error.

    Args:
        format: `log_format` of the settings: `json`, `console`, or `auto` for console on a terminal and else JSON.
        level: `log_level` of the settings; less than that is not written.
    """

    format: str = "auto"
    level: str = "info"

    def say(self, level: str, event: str) -> None:
        """Write one line.

        Args:
            level: One of `LEVELS`.
            event: What happened.
        """
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        is_terminal = sys.stderr.isatty()
        as_json = self.format == "json" or (self.format == "auto" and not is_terminal)
        now = datetime.now(UTC)
        line = json_line(now, level, event) if as_json else console_line(now, level, event, colors=is_terminal)
        try:
            # In one piece: the worker processes write to the same place.
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except OSError:
            # Nobody reads it any more, or the disk is full: no reason to take the workers down.
            return


def json_line(now: datetime, level: str, event: str) -> str:
    """A line for programs.

    Args:
        now: When it happened, UTC.
        level: How bad it is.
        event: What happened.
    """
    timestamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"timestamp": timestamp, "level": level, "event": event, "logger": LOGGER})


def console_line(now: datetime, level: str, event: str, *, colors: bool) -> str:
    """A line for people; the time is local.

    Args:
        now: When it happened.
        level: How bad it is.
        event: What happened.
        colors: Whether the terminal shows them.
    """
    timestamp = now.astimezone().strftime("%H:%M:%S.%f")
    level_padded, event_padded = f"{level:<9}", f"{event:<28}"
    if not colors:
        return f"{timestamp} [{level_padded}] {event_padded} [{LOGGER}]"
    level_colored = f"{_COLORS.get(level, '')}{_BOLD}{level_padded}{_PLAIN}"
    logger_colored = f"{_BOLD}{_BLUE}{LOGGER}{_PLAIN}"
    return f"{_DIM}{timestamp}{_PLAIN} [{level_colored}] {_BOLD}{event_padded}{_PLAIN} [{logger_colored}]"
