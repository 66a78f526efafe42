"""Is the archive what the topic was? Looks at the log, the files, and each event that the topic still has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.errors import ArchiveError, ObjectMissing, UnknownTopic
from tidemill.event import headers_of
from tidemill.replay.ahead import ahead
from tidemill.replay.archived import Archived
from tidemill.replay.fetching import Fetcher
from tidemill.replay.lake import Lake, LakeFile, State
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Cluster, Plan, Range
from tidemill.store import Location
from tidemill.topics import read_topics
from tidemill.topics.wanted import CLEANUP

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.replay.slices import Slice

MOST_PROBLEMS = 100
"""Named for each topic; more are only counted."""
_CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]
"""Called with what is looked at, how much of it, and how much there is."""


@dataclass
class Verified:
    """What was looked at, and what is wrong."""

    topic: str
    """Without the namespace."""
    entries: int = 0
    files: int = 0
    size_bytes: int = 0
    events: int = 0
    """In the files."""
    compared: int = 0
    """Events that the topic still has, each compared with its copy."""
    lost: int = 0
    """Offsets that retention had deleted before they were archived, as the log says."""
    problems: list[str] = field(default_factory=list)
    more: int = 0
    """Problems that aren't named."""

    @property
    def ok(self) -> bool:
        """Whether all is as it should be; what is recorded as lost is."""
        return not self.problems

    def tell(self, problem: str) -> None:
        """Note a problem."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more += 1


def verify(
    settings: Settings, lake: Lake, topic: str, *, quick: bool = False, progress: Progress | None = None
) -> Verified:
    """Look at a topic's archive.

    Args:
        settings: Addresses and namespace.
        lake: The archive.
        topic: Without the namespace.
        quick: Look at the log and at which files are there, and read neither files nor the topic.
        progress: Told now and then.

    Raises:
        BrokerError: The cluster can't be asked.
        StoreError: The store can't be read.
    """
    full_name = settings.qualified(topic)
    found = Verified(topic)
    state = State()
    try:
        # From the first entry on: a checkpoint may hide one that is damaged.
        while (entry := lake.entry(full_name, state.sequence + 1)) is not None:
            state.add(entry)
        if state.to_json() != lake.state(full_name).to_json():
            found.tell("The checkpoint says something else than the log.")
    except ArchiveError as error:
        found.tell(str(error))
        return found
    if not state.sequence:
        found.tell(f"Nothing is archived of {topic!r} in {lake.url}.")
        return found
    found.entries, found.lost = state.sequence, sum(gap.end - gap.start for gap in state.gaps)
    _look_at_names(lake, full_name, state, found)
    if not quick:
        files = [*state.files.values(), *state.former.values()]
        for number, file in enumerate(files):
            _look_into(lake, file, found)
            if progress is not None:
                progress(f"{topic}: files", number + 1, len(files))
        _compare(settings, lake, topic, state, found, progress)
    return found


def _look_at_names(lake: Lake, full_name: str, state: State, found: Verified) -> None:
    """Whether readers by glob see what counts, and nothing else."""
    there: dict[str, int] = {}
    for prefix in (f"topic={full_name}", f"_quarantine/topic={full_name}"):
        for each in lake.store.list(prefix):
            there["/".join(Location.parse(each.uri).below(lake.store.home))] = each.size_bytes
    known = state.files | state.former
    for name in sorted(there.keys() - known.keys()):
        found.tell(f"{name} is no file of the archive, and readers by glob see it.")
    for name, file in known.items():
        if name not in there:
            place = "waits to be published" if lake.store.exists(lake.store.uri(file.staged)) else "is missing"
            found.tell(f"{name} {place}.")
        elif there[name] != file.size_bytes:
            found.tell(f"{name} has {there[name]:,} bytes and not {file.size_bytes:,}.")


def _look_into(lake: Lake, file: LakeFile, found: Verified) -> None:
    """Whether a file holds what the log says."""
    digest = hashlib.sha256()
    try:
        with lake.store.open(lake.store.uri(file.name)) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
            if digest.hexdigest() != file.sha256:
                found.tell(f"{file.name} has other bytes than were written.")
                return
            stream.seek(0)
            table = pq.ParquetFile(stream)
            last, count = file.start - 1, 0
            for batch in table.iter_batches(65_536, columns=["_partition", "_offset"]):
                for partition, offset in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if partition != file.partition or not last < offset < file.end:
                        found.tell(f"{file.name} has offset {offset} of partition {partition} where it has no place.")
                        return
                    last, count = offset, count + 1
            if count != file.events:
                found.tell(f"{file.name} has {count:,} events and not {file.events:,}.")
    except ObjectMissing:
        return  # told already
    except (pa.ArrowException, OSError) as error:
        found.tell(f"{file.name} can't be read: {error}.")
        return
    found.files += 1
    found.size_bytes += file.size_bytes
    found.events += file.events


def _compare(
    settings: Settings, lake: Lake, topic: str, state: State, found: Verified, progress: Progress | None
) -> None:
    """Whether each event that the topic still has is archived as it is, and no other."""
    broker.cluster_metadata(settings)  # whether anybody answers is said best here
    cluster = Cluster(settings, topic)
    try:
        topic_id, count = cluster.describe()
    except UnknownTopic:
        return  # the archive is all there is
    if topic_id != state.topic_id:
        return
    config = read_topics(settings, [cluster.topic])[cluster.topic].config
    compacted = "compact" in config.get(CLEANUP, "delete")
    low = cluster.offsets(state.next_offsets, OffsetSpec.earliest)
    ranges = [
        Range(each, max(state.began[each], low[each]), state.next_offsets[each]) for each in sorted(state.next_offsets)
    ]
    ranges = [each for each in ranges if each.start < each.end]
    total = sum(each.end - each.start for each in ranges)
    done = 0
    for each in ranges:
        plan = Plan(cluster.topic, topic_id, count, (each,), (), {each.partition: each.start})
        query = make_query(topic)
        fetcher = Fetcher(settings, query, plan, keep_messages=True)
        there = Archived(lake, cluster.topic, query, [each], values=True, messages=True)
        extra: list[int] = []
        place = f"{topic}, partition {each.partition}"
        with (
            closing(ahead(fetcher.slices(), depth=2, name="tidemill-verify-topic")) as live,
            closing(ahead(there.slices(), depth=2, name="tidemill-verify-archive")) as kept,
        ):
            try:
                for offset in _differences(_events(live), _events(kept), found, place, extra):
                    if progress is not None and offset % 1000 == 0:
                        progress(f"{topic}: events", done + offset - each.start, total)
            except ArchiveError as error:
                found.tell(f"{place} can't be compared to its end: {error.message}")
                continue
        # What compaction, or retention meanwhile, has removed from the topic is what the archive is for.
        begins = cluster.offsets([each.partition], OffsetSpec.earliest)[each.partition]
        for offset in extra:
            if not compacted and offset >= begins:
                found.tell(f"{place}, offset {offset}: it is archived, and not in the topic.")
        done += each.end - each.start


def _events(slices: Iterator[Slice]) -> Iterator[tuple[int, Any]]:
    for taken in slices:
        for message in taken.messages:
            stamp = message.timestamp()[1]
            yield message.offset() or 0, (stamp, message.key(), message.value(), headers_of(message))


def _differences(
    live: Iterator[tuple[int, Any]],
    kept: Iterator[tuple[int, Any]],
    found: Verified,
    place: str,
    extra: list[int],
) -> Iterator[int]:
    """Tell of each difference; gives the offsets that were passed, and adds to `extra` what is only archived."""
    end: tuple[int, Any] = (1 << 62, ())
    one, other = next(live, end), next(kept, end)
    while one is not end or other is not end:
        offset = min(one[0], other[0])
        if one[0] > offset:
            if len(extra) <= MOST_PROBLEMS:
                extra.append(offset)
            other = next(kept, end)
        elif other[0] > offset:
            found.tell(f"{place}, offset {offset}: it is in the topic, and not archived.")
            one = next(live, end)
        else:
            if one[1] != other[1]:
                names = ("timestamp", "key", "value", "headers")
                differing = [name for name, a, b in zip(names, one[1], other[1], strict=True) if a != b]
                found.tell(f"{place}, offset {offset}: the archive has another {' and '.join(differing)}.")
            found.compared += 1
            one, other = next(live, end), next(kept, end)
        yield offset
