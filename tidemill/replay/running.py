"""One run of a scan: fetch in one thread, decode in a second, hand batches to the caller.

Both threads stay a few slices ahead and no further, so that memory stays bounded whatever the topic's size.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tidemill.errors import DecodeError
from tidemill.replay.ahead import ahead
from tidemill.replay.condition import Condition
from tidemill.replay.decoding import Decoder
from tidemill.replay.envelope import envelope_column
from tidemill.replay.extras import need
from tidemill.replay.fetching import Fetcher
from tidemill.replay.ranges import Gap, Plan
from tidemill.replay.slices import Slice
from tidemill.replay.tally import Quarantined, Tally

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings
    from tidemill.replay.archived import Archived
    from tidemill.replay.layout import Layout
    from tidemill.replay.query import Query

DEPTH = 3
"""How many slices may wait between two threads."""


@dataclass
class Piece:
    """What one slice has become."""

    batch: Any
    """A `pyarrow.RecordBatch` of the shown columns; it may be empty."""
    taken: Slice
    """The messages of its rows, where they were to be kept."""
    next_offsets: dict[int, int]
    """Where reading goes on after it, for the partitions that have moved."""
    tally: Tally


class Run:
    """One run.

    Args:
        settings: Addresses and security.
        query: What to read.
        plan: The ranges.
        layout: The columns.
        decoder: Decodes the payload; None where no field of it is needed.
        keep_messages: Give the messages of the rows as well.
        follow: Go on with what is appended, without an end.
        share: How many runs there are at once, which share the memory of one.
        archived: What of the plan is read from the archive, and comes first.
    """

    def __init__(
        self,
        settings: Settings,
        query: Query,
        plan: Plan,
        layout: Layout,
        decoder: Decoder | None,
        *,
        keep_messages: bool = False,
        follow: bool = False,
        share: int = 1,
        archived: Archived | None = None,
    ) -> None:
        self.plan = plan
        self._archived = archived
        self.tally = Tally()
        self._query = query
        self._layout = layout
        self._decoder = decoder
        self._condition = None if query.where is None else Condition(query.where)
        if self._condition is not None:
            # A slip of the pen is found before anything is read.
            self._condition.rows(self._batch([], Slice()))
        self._keep = keep_messages
        own = replace(plan, archived=(), next_offsets=plan.topic_starts)
        self._fetcher = Fetcher(
            settings, query, own, keep_messages=keep_messages or layout.needs_headers, follow=follow, share=share
        )

    @property
    def gaps(self) -> list[Gap]:
        """What retention had taken, as far as is known by now."""
        return self._fetcher.gaps

    def pieces(self) -> Generator[Piece, None, None]:
        """The pieces in the order they were read; `tally` counts those that were taken.

        Raises:
            DecodeError: An event can't be read, and the query says to raise.
            BrokerError, RegistryError: Reading failed.
        """
        try:
            for piece in ahead(self._decoded(), depth=DEPTH, name="tidemill-replay-decode"):
                self.tally.add(piece.tally)
                yield piece
        finally:
            self.tally.gaps = self._fetcher.gaps

    def put_aside(self, message: Message, error: DecodeError) -> None:
        """Count one that was given as an event as garbage instead.

        Raises:
            DecodeError: The query says to raise.
        """
        place = message.partition() or 0, message.offset() or 0, message.timestamp()[1]
        found = Quarantined(self.plan.topic, *place, error.message, message.key(), message.value() or b"")
        if self._query.on_error == "raise":
            raise found.error()
        self.tally.events -= 1
        self.tally.garbage += 1
        if self._query.on_error != "skip":
            self.tally.keep([found])

    def sample(self) -> tuple[int, int, float]:
        """Read everything once for a measurement: how many events, their bytes, and the seconds of decoding them."""
        slices = [*self._slices()]
        for taken in slices:
            self._piece(taken)  # it asks the registry, and compiles
        began = time.perf_counter()
        for taken in slices:
            self._piece(taken)
        seconds = time.perf_counter() - began
        return sum(taken.read for taken in slices), sum(taken.size_bytes for taken in slices), seconds

    def _decoded(self) -> Generator[Piece, None, None]:
        for taken in ahead(self._slices(), depth=DEPTH, name="tidemill-replay-fetch"):
            yield self._piece(taken)

    def _slices(self) -> Generator[Slice, None, None]:
        if self._archived is not None:
            yield from self._archived.slices()
        yield from self._fetcher.slices()

    def _piece(self, taken: Slice) -> Piece:
        tally = Tally(read=taken.read, read_bytes=taken.size_bytes, filtered=taken.read - len(taken))
        columns: list[Any] = []
        if self._decoder is not None and len(taken):
            decoded = self._decoder.decode(taken.values, taken.prefixes)
            columns = decoded.columns
            tally.tombstones = decoded.tombstones
            tally.garbage = len(decoded.faults)
            if decoded.faults and self._query.on_error != "skip":
                tally.quarantined = self._quarantined(taken, decoded.faults)
                if self._query.on_error == "raise":
                    raise tally.quarantined[0].error()
            if len(decoded.rows) != len(taken):
                taken = taken.kept(decoded.rows)
        batch = self._batch(columns, taken)
        if self._condition is not None and batch.num_rows:
            rows = self._condition.rows(batch)
            if len(rows) != batch.num_rows:
                tally.filtered += batch.num_rows - len(rows)
                batch = batch.take(need("pyarrow", "conditions").array(rows, "int64"))
                taken = taken.kept(rows) if self._keep else taken
        tally.events = batch.num_rows
        if self._layout.shown != tuple(batch.schema.names):
            batch = batch.select([*self._layout.shown])
        return Piece(batch, taken if self._keep else Slice(), taken.next_offsets, tally)

    def _batch(self, columns: list[Any], taken: Slice) -> Any:
        pa = need("pyarrow", "reading topics as tables")
        if not len(taken):
            return pa.RecordBatch.from_pylist([], schema=self._layout.made)
        envelope = [envelope_column(name, taken) for name in self._layout.envelope]
        return pa.RecordBatch.from_arrays([*columns, *envelope], schema=self._layout.made)

    def _quarantined(self, taken: Slice, faults: dict[int, str]) -> list[Quarantined]:
        return [
            Quarantined(
                self.plan.topic,
                taken.partitions[row],
                taken.offsets[row],
                taken.timestamps[row],
                why,
                taken.keys[row],
                taken.values[row] or b"",
            )
            for row, why in sorted(faults.items())
        ]
