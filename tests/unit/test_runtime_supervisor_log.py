"""The supervisor's lines in the log look like those of its worker processes."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from tidemill.config import load_settings
from tidemill.runtime.supervisor_log import LOGGER, SupervisorLog, console_line, json_line
from tidemill.telemetry import configure_logging

EVENTS = ["worker process 0 was killed by SIGKILL; starting it again in 0.5 s", 'short, "quoted"']
COLOR = re.compile(r"\x1b\[\d+m")


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def workers_logging() -> Iterator[None]:
    """Lets a test set up logging as a worker process does; it is as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("tidemill")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


@pytest.mark.usefixtures("workers_logging")
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("level", ["warning", "error"])
@pytest.mark.parametrize("log_format", ["json", "console", "auto"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_line_has_the_same_shape_as_a_worker_s(
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    log_format: str,
    level: str,
    event: str,
) -> None:
    said = stream()
    monkeypatch.setattr(sys, "stderr", said)
    configure_logging(load_settings(log_format=log_format))
    logging.getLogger(LOGGER).log(logging.getLevelNamesMapping()[level.upper()], event)
    SupervisorLog(log_format, "info").say(level, event)
    workers, supervisors = said.getvalue().splitlines()
    assert _without_time(supervisors) == _without_time(workers)
    assert bool(COLOR.search(supervisors)) == bool(COLOR.search(workers))


def _without_time(line: str) -> str:
    """The line without colors, and with a letter for each digit of its time."""
    plain = COLOR.sub("", line)
    end = plain.index(" [") if plain[0].isdigit() else plain.index('", "level')
    return re.sub(r"\d", "N", plain[:end]) + plain[end:]


def test_a_json_line_tells_when_how_bad_and_what() -> None:
    now = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    assert json.loads(json_line(now, "error", "it ended")) == {
        "timestamp": "2026-11-24T12:30:00.000000Z",
        "level": "error",
        "event": "it ended",
        "logger": "tidemill.supervisor",
    }


def test_on_a_terminal_how_bad_it_is_has_its_color() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert "\x1b[31m\x1b[1merror" in console_line(now, "error", "it ended", colors=True)
    assert "\x1b[33m\x1b[1mwarning" in console_line(now, "warning", "it ended", colors=True)
    assert "\x1b" not in console_line(now, "error", "it ended", colors=False)


def test_what_is_below_the_level_of_the_settings_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log = SupervisorLog("json", "error")
    log.say("warning", "small")
    log.say("error", "great")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["great"]


def test_a_log_that_nobody_reads_any_more_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    SupervisorLog().say("error", "it ended")
