"""What was done about dead letters, command by command, for `tidemill dead audit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select

from consumers.deadletters.listing import moment
from consumers.deadletters.plain_text import one_line
from consumers.deadletters.tables import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True)
class Run:
    """What one command did to the letters of one topic."""

    id: str
    action: str
    by: str
    why: str
    topic: str
    edit: str
    first_ms: int
    last_ms: int
    letters: int

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "run": self.id,
            "action": self.action,
            "by": self.by,
            "why": self.why or None,
            "topic": self.topic,
            "edit": self.edit or None,
            "began": moment(self.first_ms).isoformat(),
            "ended": moment(self.last_ms).isoformat(),
            "letters": self.letters,
        }


def runs(connection: Connection, since_ms: int | None, most: int) -> list[Run]:
    """Commands that did something, the latest last.

    Args:
        connection: Of the index.
        since_ms: Only what was done since, milliseconds since 1970.
        most: How many.
    """
    keys = [ACTIONS.c[name] for name in ("run", "kind", "by", "why", "topic", "edit")]
    last = func.max(ACTIONS.c.at_ms)
    statement = select(*keys, func.min(ACTIONS.c.at_ms), last, func.sum(ACTIONS.c.letters)).group_by(*keys)
    if since_ms is not None:
        statement = statement.where(ACTIONS.c.at_ms >= since_ms)
    rows = connection.execute(statement.order_by(last.desc()).limit(most)).all()
    return [Run(*row) for row in reversed(rows)]


def runs_table(found: Sequence[Run]) -> Table:
    """A line for each command."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("WHEN (UTC)", "ACTION"):
        table.add_column(heading, no_wrap=True)
    table.add_column("LETTERS", justify="right", no_wrap=True)
    for heading in ("TOPIC", "BY"):
        table.add_column(heading, overflow="fold")
    table.add_column("WHY", overflow="fold")
    for run in found:
        why = one_line(run.why, 300) + (" (edited)" if run.edit else "")
        table.add_row(
            f"{moment(run.last_ms):%Y-%m-%d %H:%M:%S}",
            run.action,
            f"{run.letters:,}",
            Text(run.topic),
            Text(one_line(run.by, 100)),
            Text(why),
        )
    return table
