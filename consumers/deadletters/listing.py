"""Tables for people of what the index says: groups of letters, and what was done about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from consumers.deadletters.selection import Group

NO_STREAM = "(none named)"


def moment(milliseconds: int) -> datetime:
    """A time of the index."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def span(seconds: float) -> str:
    """A time span in its two largest units, for a narrow column."""
    left = max(0, int(seconds))
    for unit, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if left >= size:
            rest = left % size // small
            return f"{left // size}{unit} {rest}{smaller}" if rest else f"{left // size}{unit}"
    return f"{left}s"


def short_error(error: str) -> str:
    """An error's class without its module."""
    return error.rpartition(".")[2]


def groups_table(found: Sequence[Group], now: datetime) -> Table:
    """Groups, a line each and a line of a sample."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("GROUP", no_wrap=True)
    table.add_column("LETTERS", justify="right", no_wrap=True)
    table.add_column("STREAM", no_wrap=True, overflow="ellipsis")
    has_states = len({group.state for group in found}) > 1
    has_redrives = any(group.redrives for group in found)
    if has_states:
        table.add_column("STATE", no_wrap=True)
    table.add_column("FIRST", justify="right", no_wrap=True)
    table.add_column("LAST", justify="right", no_wrap=True)
    if has_redrives:
        table.add_column("REDRIVEN", justify="right", no_wrap=True)
    table.add_column("ERROR", overflow="fold", ratio=1)
    for group in found:
        error = Text.assemble((short_error(group.error), "bold"), f": {group.sample_message}")
        where = group.frames[-1] if group.frames else group.handler
        if where:
            error.append(f"\n{where}", "dim")
        states = [group.state.value] if has_states else []
        redriven = [f"{group.redrives}x" if group.redrives else ""] if has_redrives else []
        table.add_row(
            group.id,
            f"{group.letters:,}",
            Text(group.stream or NO_STREAM),
            *states,
            f"{span((now - moment(group.first_ms)).total_seconds())} ago",
            f"{span((now - moment(group.last_ms)).total_seconds())} ago",
            *redriven,
            error,
        )
    return table


def group_json(group: Group) -> dict[str, Any]:
    """A group as JSON data."""
    return {
        "group": group.id,
        "state": group.state.value,
        "stream": group.stream or None,
        "handler": group.handler,
        "error": group.error,
        "pattern": group.pattern,
        "frames": group.frames,
        "letters": group.letters,
        "first": moment(group.first_ms).isoformat(),
        "last": moment(group.last_ms).isoformat(),
        "most_redrives": group.redrives,
        "topic": group.topic,
        "sample": {"id": group.sample_id, "message": group.sample_message},
    }
