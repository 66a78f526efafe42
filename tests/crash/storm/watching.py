"""What a person sees while a storm passes: a line for each act, and on a terminal one that is written over."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

from tests.crash.storm.sampling import Sample

ERASE_LINE = "\r\x1b[K"


class Progress:
    """Shows how a storm goes on, until the end of the block.

    Args:
        seconds: How long it is meant to take.
        stream: Where to; default: standard error.
    """

    def __init__(self, seconds: float, stream: TextIO | None = None) -> None:
        self._seconds = seconds
        self._stream = stream or sys.stderr
        self._shows_line = self._stream.isatty()
        self._began = time.monotonic()
        self._act = "calm"
        self._lock = threading.Lock()

    def act(self, line: str) -> None:
        """An act began or is over."""
        with self._lock:
            self._act = line
            over = not line.endswith(" ...")
            if over:
                self._stream.write(f"{ERASE_LINE if self._shows_line else ''}{self._clock()}  {line}\n")
                self._stream.flush()
                self._act = "calm"

    def sample(self, sample: Sample) -> None:
        """Something was counted."""
        if not self._shows_line:
            return
        lag = "unknown" if sample.lag is None else f"{sample.lag:,}"
        with self._lock:
            self._stream.write(
                f"{ERASE_LINE}{self._clock()} of {self._seconds:.0f} s  "
                f"{sample.done:,} done of {sample.published:,}, lag {lag}  {self._act}"
            )
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shows_line:
            self._stream.write(ERASE_LINE)
            self._stream.flush()

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:5.0f}"
