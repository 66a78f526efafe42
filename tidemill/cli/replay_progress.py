"""The progress bar of a replay: offsets passed of those that were planned, events a second, time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from tidemill.cli.terminal import err

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


class ReplayProgress:
    """A bar on standard error; nothing is shown where that is no terminal.

    Args:
        what: What goes on, e.g. the topic's name.
    """

    def __init__(self, what: str = "") -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns: list[ProgressColumn] = [
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
        ]
        self._progress = Progress(
            *columns,
            TimeRemainingColumn(compact=True),
            console=err,
            transient=True,
            refresh_per_second=5,
            disable=not err.is_terminal,
        )
        self._began = time.monotonic()
        self._what = what
        self._task = self._progress.add_task(f"{what}looking where to read", total=None)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def show(self, events: int, done: int, total: int, *, garbage: int = 0) -> None:
        """Show how far it is.

        Args:
            events: So many so far.
            done: Offsets passed.
            total: Offsets in all.
            garbage: Events that couldn't be read.
        """
        rate = events / max(self.seconds, 1e-3)
        text = f"{self._what}{events:,} events, {rate:,.0f}/s"
        if garbage:
            text += f", [red]{garbage:,} can't be read[/]"
        self._progress.update(self._task, completed=done, total=max(total, 1), description=text)

    def stop(self) -> None:
        """Take the bar away, so that results can be shown."""
        self._progress.stop()

    def __enter__(self) -> ReplayProgress:
        self._progress.start()
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
