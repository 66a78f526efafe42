"""The local stack's progress on standard error: a spinner and download bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from threading import Lock
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)


class TerminalProgress:
    """Shows stages and downloads while it is open; what was shown disappears when it closes.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = console.is_terminal
        self._stages = Progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console)
        self._downloads = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._display = Live(Group(self._downloads, self._stages), console=console, transient=True)
        self._stage: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last = ""
        self._fetched_before = False
        self._lock = Lock()

    def __enter__(self) -> TerminalProgress:
        if self._is_live:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def stage(self, text: str) -> None:
        """Show what is being done now."""
        if not self._is_live:
            if text != self._last:
                self._console.print(text, markup=False)
            self._last = text
            return
        if self._stage is None:
            self._stage = self._stages.add_task(text, total=None)
        self._stages.update(self._stage, description=text)

    def fetch_started(self, title: str, total_bytes: int) -> None:
        """Show a bar for a program's files."""
        if not self._is_live:
            self._console.print(f"Fetching {title}, {total_bytes / 1e6:.0f} MB (once)", markup=False)
            return
        with self._lock:
            if not self._fetched_before:
                self._console.print("Fetching what the local stack runs (once).")
                self._fetched_before = True
            self._tasks[title] = self._downloads.add_task(title, total=total_bytes)

    def fetch_advanced(self, title: str, byte_count: int) -> None:
        """Move the bar."""
        if self._is_live:
            self._downloads.advance(self._tasks[title], byte_count)

    def fetch_finished(self, title: str) -> None:
        """Leave a line that stays."""
        self._console.print(f"[green]✓[/] {title} fetched and verified")
        if not self._is_live:
            return
        with self._lock:
            self._downloads.remove_task(self._tasks.pop(title))
