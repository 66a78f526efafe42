"""A topic as a table that DuckDB scans: each time it does, only the columns that it wants are decoded.

DuckDB hands a pyarrow dataset the columns and the conditions of each scan. This is one whose rows come from a topic;
all its scans have the same plan, so that they see the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tidemill.replay.extent import extent
from tidemill.replay.extras import need
from tidemill.replay.moments import Bound
from tidemill.replay.pruning import earliest_possible, possible_partitions
from tidemill.replay.tally import Tally

if TYPE_CHECKING:
    from tidemill.replay.ranges import Plan
    from tidemill.replay.scan import Scan

Watch = Callable[[int, int], None]
"""Called with events and offsets that were passed since it was called last."""


class TopicTable:
    """A topic, asked by a query.

    Args:
        scan: With all columns that the query may name.
        watch: Told how far reading is.
    """

    def __init__(self, scan: Scan, watch: Watch) -> None:
        self.scan = scan
        self.tally = Tally()
        self.planned_offsets = 0
        self.error: BaseException | None = None
        """What ended a scan; DuckDB makes another error of it."""
        self._watch = watch
        self._plan: Plan | None = None
        self._open: list[Generator[Any, None, None]] = []

    @property
    def plan(self) -> Plan:
        """What there is to read, as it was when this was asked first."""
        if self._plan is None:
            self._plan = self.scan.plan()
        return self._plan

    def close(self) -> None:
        """End what still reads."""
        for each in self._open:
            each.close()

    def batches(self, columns: list[str] | None, condition: Any) -> tuple[Any, Generator[Any, None, None]]:
        """The schema and the batches of one scan.

        Args:
            columns: Those that are wanted, in order; None for all.
            condition: A `pyarrow.compute.Expression` that the rows have to fulfil, or None.
        """
        whole = self.scan.schema
        names = whole.names if columns is None else columns
        # A condition's columns can't be asked for; they are among those that it names.
        said = "" if condition is None else str(condition)
        read = [name for name in whole.names if name in names or name in said] or [whole.names[0]]
        query = replace(self.scan.query, columns=tuple(read))
        narrow = self.scan.of(query)
        plan = self._narrowed(condition)
        self.planned_offsets += plan.offsets
        reading = self._read(narrow, plan, names, condition)
        self._open.append(reading)
        return need("pyarrow", "queries").schema([whole.field(name) for name in names]), reading

    def _narrowed(self, condition: Any) -> Plan:
        """The plan without what the condition excludes: partitions, and what lies before a time."""
        plan = self.plan
        if condition is None or not (plan.ranges or plan.archived):
            return plan
        schema, query = self.scan.schema, self.scan.query
        numbers = possible_partitions(condition, [*plan.next_offsets], schema)
        ranges = tuple(each for each in plan.ranges if each.partition in numbers)
        known = extent(self.scan.settings, query.topic)
        if known.first_ms is not None and known.last_ms is not None:
            begin = earliest_possible(condition, known.first_ms, known.last_ms, schema)
            if begin is not None and ranges:
                asked = replace(query, start=Bound(begin), end=Bound(), partitions=numbers, keys=None)
                later = {each.partition: each.start for each in self.scan.of(asked).plan().ranges}
                moved = [replace(each, start=max(each.start, later.get(each.partition, each.end))) for each in ranges]
                ranges = tuple(each for each in moved if each.start < each.end)
        return replace(plan, ranges=ranges, archived=tuple(each for each in plan.archived if each.partition in numbers))

    def _read(self, scan: Scan, plan: Plan, names: list[str], condition: Any) -> Generator[Any, None, None]:
        run = scan.run(plan=plan)
        positions = {each.partition: each.start for each in plan.ranges}
        try:
            with closing(run.pieces()) as pieces:
                for piece in pieces:
                    passed = sum(at - positions.get(each, at) for each, at in piece.next_offsets.items())
                    positions |= piece.next_offsets
                    self._watch(piece.tally.read, passed)
                    batch = piece.batch
                    if condition is not None and batch.num_rows:
                        batch = batch.filter(condition)
                    if batch.num_rows:
                        yield batch.select(names)
        except BaseException as error:
            self.error = self.error or error
            raise
        finally:
            self.tally.add(run.tally)
            self.tally.gaps += run.tally.gaps

    def dataset(self) -> Any:
        """What DuckDB takes for a pyarrow dataset."""
        dataset, pa = need("pyarrow.dataset", "queries"), need("pyarrow", "queries")
        table = self

        class Reading:
            """One scan of it."""

            def __init__(self, columns: list[str] | None, condition: Any) -> None:
                self._schema, self._batches = table.batches(columns, condition)

            def to_reader(self) -> Any:
                return pa.RecordBatchReader.from_batches(self._schema, self._batches)

        class TopicDataset(dataset.Dataset):  # type: ignore[misc, name-defined]  # pyarrow has no types
            """Has of a dataset what DuckDB asks for; nothing of pyarrow's own is behind it."""

            def __init__(self) -> None:
                pass

            @property
            def schema(self) -> Any:
                return table.scan.schema

            def scanner(self, columns: list[str] | None = None, filter: Any = None, **_: Any) -> Reading:
                return Reading(columns, filter)

        return TopicDataset()
