"""Nemeses of the clock: the wall clock of running workers steps forth and back.

Relies on a page of C (`surroundings_clock.c`), compiled here and preloaded into workers, that adds an offset from a
shared file to the wall clock, and lets waits go by it as those of librdkafka do. (libfaketime 0.9.10 spoils the sleeps
of Python 3.11 and later, which go by the monotonic clock: they fail.) Must never touch the monotonic clock: a step of
the real one doesn't either, and the ledgers go by it.
"""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.crash.storm.field import Field, Nemesis
from tests.integration.working import wait_until

SOURCE = Path(__file__).with_name("surroundings_clock.c")
OFFSET_VARIABLE = "TIDEMILL_STORM_CLOCK"
OFFSET = struct.Struct("=q")
STEPS_SECONDS = (-90, 90)
BACK_SECONDS = 30.0
LEAP_SECONDS = 2 * 3600
"""More than Kafka lets an event be ahead of its own clock (message.timestamp.after.max.ms, one hour)."""


def why_not() -> str | None:
    """Why no clock can be stepped here; None where it can."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return "clocks can be stepped on Linux with glibc only"
    return None if shutil.which("cc") else "stepping clocks needs a C compiler, `cc`"


class Clock:
    """A wall clock that can be stepped, for programs that are started with its variables.

    Args:
        folder: Where its library and its offset are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._library = folder / "clock.so"

    def make(self) -> None:
        """Compile the library, if that wasn't done yet; programs may have it mapped.

        Raises:
            CalledProcessError: It can't be compiled.
        """
        if self._library.exists():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(OFFSET.pack(0))
        subprocess.run(
            [
                "cc",
                "-shared",
                "-fPIC",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pthread",
                "-o",
                str(self._library),
                str(SOURCE),
            ],
            check=True,
            capture_output=True,
        )

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of a program."""
        return {"LD_PRELOAD": str(self._library), OFFSET_VARIABLE: str(self._file)}

    @contextmanager
    def off(self, seconds: int) -> Iterator[None]:
        """The wall clock steps by so much, at once, and back at the end of the block."""
        self._step(seconds)
        try:
            yield
        finally:
            self._step(0)

    def _step(self, seconds: int) -> None:
        # In place: the programs have this file mapped. Eight aligned bytes are never seen half written.
        with self._file.open("r+b", buffering=0) as file:
            file.write(OFFSET.pack(seconds))


@contextmanager
def stepping_clock(field: Field) -> Iterator[None]:
    """Workers have a clock that can be stepped."""
    clock = _clock(field)
    clock.make()
    field.crew.variables |= clock.variables
    yield


def step_the_clock(field: Field, luck: Random) -> str:
    """All workers' clocks are a minute and a half off for some seconds."""
    return _off(field, luck.choice(STEPS_SECONDS), luck.uniform(4.0, 9.0))


def leap_the_clock(field: Field, luck: Random) -> str:
    """All workers' clocks are two hours ahead for some seconds: Kafka refuses events from so far in the future."""
    return _off(field, LEAP_SECONDS, luck.uniform(4.0, 9.0))


def _off(field: Field, offset_seconds: int, seconds: float) -> str:
    with _clock(field).off(offset_seconds):
        time.sleep(seconds)
    # All were ended by it, and come back one after another: healed is it with the last of them, or the next act could
    # strike the only one that has any partitions.
    wait_until(field.all_at_work, "each worker is back at work", BACK_SECONDS)
    return f"all workers, {offset_seconds:+d} s for {seconds:.1f} s"


def _clock(field: Field) -> Clock:
    return Clock(field.folder / "clock")


NEMESES = [
    # A clock that is set back ends all workers at once, and one that ends hard keeps its partitions for 6 s.
    Nemesis("step-clock", 2, step_the_clock, most_stall_seconds=15.0, around=stepping_clock),
    # Nothing is promised: clocks off by minutes are in the failure model, by hours they aren't.
    Nemesis("leap-clock", 1, leap_the_clock, most_stall_seconds=None, around=stepping_clock),
]
