"""The statements on the outbox's table: take a lane's next rows, remove them, hold those that can't be published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from tidemill.outbox.ddl import TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection

WAITS_BEHIND = "waits behind row {id}, of the same key, which can't be published"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that waits, as the relay reads it."""

    id: int
    event_id: str
    topic: str
    subject: str
    key: bytes | None
    value: bytes
    headers: str


@dataclass(frozen=True, slots=True)
class LaneState:
    """What waits in a lane."""

    lane: int
    rows: int
    held: int
    oldest_seconds: float | None


_NEXT = text(
    f"""
    SELECT id, event_id, topic, subject, key, value, headers FROM (
        SELECT next.*, sum(length(value)) OVER (ORDER BY id) - length(value) AS before_bytes FROM (
            SELECT * FROM {TABLE} WHERE lane = :lane AND problem IS NULL ORDER BY id LIMIT :rows
        ) AS next
    ) AS sized WHERE before_bytes < :bytes ORDER BY id
    """
)


def take(connection: Connection, lane: int, *, most_rows: int, most_bytes: int) -> list[Waiting]:
    """The next rows of a lane, oldest first; from the very beginning, so that a late commit is never passed over.

    Args:
        most_rows: At most so many.
        most_bytes: None after so many bytes of values; the first row comes in any case.
    """
    found = connection.execute(_NEXT, {"lane": lane, "rows": most_rows, "bytes": most_bytes})
    return [
        Waiting(id, event_id, topic, subject, None if key is None else bytes(key), bytes(value), headers)
        for id, event_id, topic, subject, key, value, headers in found
    ]


def remove(connection: Connection, ids: Iterable[int]) -> int:
    """Delete rows; returns how many there were."""
    return connection.execute(text(f"DELETE FROM {TABLE} WHERE {_among(connection)}"), _ids(connection, ids)).rowcount


def event_ids(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The events of those rows that are there, by row."""
    found = connection.execute(
        text(f"SELECT id, event_id FROM {TABLE} WHERE {_among(connection)}"), _ids(connection, ids)
    )
    return {int(id): event_id for id, event_id in found}


def hold(connection: Connection, problems: Mapping[int, str]) -> None:
    """Set rows aside, each with the reason."""
    connection.execute(
        text(f"UPDATE {TABLE} SET problem = :problem WHERE id = :id"),
        [{"id": id, "problem": problem} for id, problem in problems.items()],
    )


def held_keys(connection: Connection, lane: int) -> dict[tuple[str, bytes | None], int]:
    """Topic and key of the rows set aside, and the first row of each."""
    found = connection.execute(
        text(
            f"SELECT topic, key, min(id) FROM {TABLE} WHERE lane = :lane AND problem IS NOT NULL AND key IS NOT NULL "
            "GROUP BY topic, key"
        ),
        {"lane": lane},
    )
    return {(topic, bytes(key)): int(first) for topic, key, first in found}


def release(connection: Connection, lane: int) -> int:
    """Have the rows of a lane that were set aside tried again; returns how many."""
    return connection.execute(
        text(f"UPDATE {TABLE} SET problem = NULL WHERE lane = :lane AND problem IS NOT NULL"), {"lane": lane}
    ).rowcount


def states(connection: Connection) -> list[LaneState]:
    """What waits in each lane that anything waits in."""
    now = (
        "(julianday('now') - 2440587.5) * 86400000"
        if connection.dialect.name == "sqlite"
        else "extract(epoch FROM clock_timestamp()) * 1000"
    )
    found = connection.execute(
        text(
            f"SELECT lane, count(*), count(problem), ({now} - min(created_ms)) / 1000.0 FROM {TABLE} "
            "GROUP BY lane ORDER BY lane"
        )
    )
    return [LaneState(int(lane), rows, held, max(0.0, float(age))) for lane, rows, held, age in found]


def problems(connection: Connection, most: int) -> Sequence[tuple[int, str, str, str]]:
    """The oldest rows set aside: row, event type, event id, reason."""
    found = connection.execute(
        text(f"SELECT id, type, event_id, problem FROM {TABLE} WHERE problem IS NOT NULL ORDER BY id LIMIT :most"),
        {"most": most},
    )
    return [(int(id), kind, event_id, problem) for id, kind, event_id, problem in found]


def _among(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return "id IN (SELECT value FROM json_each(:ids))"
    return "id = ANY(CAST(:ids AS bigint[]))"


def _ids(connection: Connection, ids: Iterable[int]) -> dict[str, object]:
    chosen = [*ids]
    return {"ids": json.dumps(chosen) if connection.dialect.name == "sqlite" else chosen}
