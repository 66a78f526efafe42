"""Topics as tables of a report, through `tidemill.replay`: no consumer group, memory bounded, nothing committed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from streams.report.definition import Table
from tidemill import replay
from tidemill.config import Settings
from tidemill.errors import Reject, UnknownTopic

if TYPE_CHECKING:
    import pyarrow as pa

PLACE = ("_partition", "_offset")
"""By which a table's rows are put into the same order in every run."""


class TopicTables:
    """Reads topics for one report.

    Args:
        settings: The cluster.
        max_events: Most events of one topic.
    """

    def __init__(self, settings: Settings, max_events: int) -> None:
        self._settings = settings
        self._max_events = max_events
        self._scans: dict[str, replay.Scan] = {}

    def __call__(self, table: Table, start: datetime | None, end: datetime | None) -> pa.RecordBatchReader:
        """The events of a topic.

        Args:
            table: What is asked for.
            start: From when on, aware; None for the topic's beginning.
            end: Until when, without it, aware; None for the end as it is now.

        Raises:
            Reject: It has more events than a report may read.
            UnknownTopic: It isn't there, and the table isn't optional.
            TidemillError: The cluster or the registry doesn't answer.
        """
        import pyarrow as pa

        topic = table.topic or ""
        scan = replay.scan(
            topic, start, end, columns=[*dict.fromkeys([*table.columns, *PLACE])], settings=self._settings
        )
        try:
            reader = scan.to_reader()
        except UnknownTopic:
            if not table.optional:
                raise
            return pa.RecordBatchReader.from_batches(scan.schema, [])
        self._scans[topic] = scan
        return pa.RecordBatchReader.from_batches(reader.schema, self._bounded(topic, reader))

    def notes(self) -> list[str]:
        """What a reader of the report should know: events that couldn't be read, or were gone already."""
        found = []
        for topic, scan in sorted(self._scans.items()):
            if count := len(scan.quarantined):
                found.append(f"{count:,} events of {topic} can't be read and are not counted.")
            if scan.gaps:
                found.append(f"Events of {topic} were removed by its retention before they could be read.")
        return found

    def _bounded(self, topic: str, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        count = 0
        for batch in reader:
            count += batch.num_rows
            if count > self._max_events:
                raise Reject(
                    f"The report would read more than {self._max_events:,} events of {topic}.",
                    hint="Ask for less time, or raise TIDEMILL_REPORT_MAX_TOPIC_EVENTS.",
                )
            yield batch
