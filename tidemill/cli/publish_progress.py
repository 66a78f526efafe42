"""What `tidemill publish --file` shows: a progress bar while it runs, and in the end what failed and why."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from tidemill.cli.publish_lines import Tally
from tidemill.cli.terminal import err, out, print_json


class EventProgress:
    """A bar by bytes read, or a spinner where the size isn't known; with events, rate and failures beside it.

    Args:
        console: Where to show it; nothing is shown where that is no terminal.
        size_bytes: Size of the file; None for a pipe.
    """

    def __init__(self, console: Console, size_bytes: int | None) -> None:
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
        if size_bytes:
            columns = [BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn()]
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=size_bytes)

    def show(self, tally: Tally) -> None:
        """Show these counts."""
        failed = f", [red]{tally.failed:,} failed[/]" if tally.failed else ""
        text = f"{tally.acknowledged:,} events, {tally.events_per_second:,.0f}/s{failed}"
        self._progress.update(self._task, completed=tally.read_bytes, description=text)

    def __enter__(self) -> EventProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def show_tally(tally: Tally, *, dry_run: bool, as_json: bool) -> None:
    """The result: on standard output how many, on standard error which lines failed.

    Args:
        tally: The counts.
        dry_run: Nothing was sent.
        as_json: One JSON object on standard output instead.
    """
    if as_json:
        print_json(
            {
                "valid" if dry_run else "acknowledged": tally.acknowledged,
                "failed": tally.failed,
                "seconds": round(tally.seconds, 3),
                "events_per_second": round(tally.events_per_second, 1),
                "finished": tally.finished,
                "last_line": tally.line,
                "reasons": dict(tally.reasons.most_common()),
                "first_failures": [{"line": each.line, "error": each.error} for each in tally.first],
            }
        )
        return
    if not tally.finished and not tally.acknowledged:
        return
    mark = "[green]✓[/]" if tally.finished and not tally.failed else "[red]✗[/]"
    events = f"{tally.acknowledged:,} event{'' if tally.acknowledged == 1 else 's'}"
    done = "in order, nothing was sent" if dry_run else "acknowledged"
    failed = f"; {tally.failed:,} failed" if tally.failed else ""
    broken_off = "" if tally.finished else f"; broken off at line {tally.line:,}"
    took = f"in {tally.seconds:.1f} s ({tally.events_per_second:,.0f}/s)"
    out.print(f"{mark} {events} {done}, {took}{failed}{broken_off}")
    if not tally.failed:
        return
    rows = [{"line": f"{each.line:,}", "error": each.error} for each in tally.first]
    err.print()
    _table(rows, _BY_LINE)
    if tally.failed > len(tally.first):
        err.print(f"... and {tally.failed - len(tally.first):,} more. By reason:\n")
        _table([{"count": f"{n:,}", "reason": text} for text, n in tally.reasons.most_common(10)], _BY_REASON)
    if tally.stopped:
        err.print(f"\nStopped at line {tally.line:,} (--strict); what follows it was not read.")


def _table(rows: list[dict[str, str]], headings: dict[str, str]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, heading in headings.items():
        table.add_column(heading, justify="right" if name in ("line", "count") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in headings))
    err.print(table)


_BY_LINE = {"line": "LINE", "error": "WHY"}
_BY_REASON = {"count": "LINES", "reason": "REASON"}
