"""What waits in an outbox: for `tidemill outbox status` and `tidemill doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from producers.outbox import rows
from producers.outbox.database import Database
from producers.outbox.rows import LaneState

MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Problem:
    """A row that couldn't be published."""

    row: int
    type: str
    event_id: str
    problem: str


@dataclass(frozen=True)
class OutboxStatus:
    """What waits, all lanes together."""

    lanes: list[LaneState]
    problems: list[Problem]
    """The oldest ones, at most 20."""

    @property
    def rows(self) -> int:
        """Rows that wait, those that are held included."""
        return sum(lane.rows for lane in self.lanes)

    @property
    def held(self) -> int:
        """Rows that couldn't be published, and those of their keys behind them."""
        return sum(lane.held for lane in self.lanes)

    @property
    def oldest_seconds(self) -> float | None:
        """Age of the oldest row; None where none waits."""
        return max((lane.oldest_seconds for lane in self.lanes if lane.oldest_seconds is not None), default=None)


def read_status(database: Database) -> OutboxStatus:
    """What waits in an outbox now.

    Raises:
        OutboxError: There is none.
        OutboxUnavailable: The database didn't answer.
    """
    with database.connect() as connection:
        lanes = rows.states(connection)
        held = rows.problems(connection, MOST_PROBLEMS) if any(lane.held for lane in lanes) else []
    return OutboxStatus(lanes, [Problem(*found) for found in held])
