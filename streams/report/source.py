"""What a source is to a report: something that runs a query and gives its rows piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streams.report.parameters import Value

BATCH_ROWS = 2000


@dataclass(frozen=True)
class Result:
    """The rows of a query, in batches; to be read once, before the source's next query."""

    names: tuple[str, ...]
    batches: Iterator[Sequence[Sequence[Any]]]


class Source(Protocol):
    """One connection, for the time of one report."""

    def run(self, sql: str, values: Mapping[str, Value]) -> Result:
        """Run a query.

        Args:
            sql: The query, with binds `:name`.
            values: Of its binds, and perhaps more.

        Raises:
            Reject: The query can't be run, or it is one that writes.
            HandlerTimeout: The report's time is over.
            HandlerError: The database doesn't answer (retriable).
        """

    def close(self) -> None:
        """Give up the connection; nothing that was done on it stays."""
