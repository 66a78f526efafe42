"""What those need of a scan who make something of it (a file, counts): `Scan` has it, and knows them."""

from __future__ import annotations

from typing import Any, Protocol, Self

from tidemill.config import Settings
from tidemill.replay.query import Query
from tidemill.replay.ranges import Plan
from tidemill.replay.running import Run


class Scanned(Protocol):
    """A scan, as `Scan` documents it."""

    settings: Settings
    query: Query

    @property
    def schema(self) -> Any:
        """The table's schema."""

    def plan(self) -> Plan:
        """What would be read now."""

    def run(
        self, *, keep_messages: bool = False, plan: Plan | None = None, follow: bool = False, share: int = 1
    ) -> Run:
        """Begin a run."""

    def of(self, query: Query) -> Self:
        """A scan of the same kind with another query."""
