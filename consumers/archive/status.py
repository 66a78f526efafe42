"""How the archive of each topic stands: what is in it, what waits, and what is in danger. Reads only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.archive.reading import endangered, oldest_waiting, retention_of, waiting
from tidemill import broker
from tidemill.errors import UnknownTopic
from tidemill.replay.lake import INNER

if TYPE_CHECKING:
    from consumers.archive.settings import ArchiveSettings
    from tidemill.config import Settings
    from tidemill.replay.lake import Lake
    from tidemill.replay.ranges import Gap


@dataclass(frozen=True)
class TopicStatus:
    """The archive of one topic."""

    topic: str
    """Without the namespace."""
    files: int
    size_bytes: int
    events: int
    """Tombstones and quarantined ones included."""
    tombstones: int
    quarantined: int
    commits: int
    lag: int | None
    """Offsets of the topic that aren't archived; None where the topic doesn't exist."""
    newest_seconds: float | None
    """Age of the newest archived event, by its timestamp."""
    committed_seconds: float | None
    """Since the last commit."""
    unpublished: int
    """Files that are committed, and that readers by glob don't see yet."""
    gaps: tuple[Gap, ...]
    """What retention had deleted before it was archived, that which is found now included."""
    danger: dict[int, str]
    """By partition, why unread events are about to be deleted."""

    @property
    def lost(self) -> int:
        """Offsets in gaps."""
        return sum(gap.end - gap.start for gap in self.gaps)


def archived_topics(settings: Settings, lake: Lake) -> list[str]:
    """Topics of this namespace that are archived, without it.

    Raises:
        StoreError: The store can't be read.
    """
    space = settings.namespace
    names = [name for name in lake.topics() if name.startswith(space)]
    # One whose first commit came to nothing has its name there, and no log.
    return [name.removeprefix(space) for name in names if lake.entry(name, 1) is not None]


def read_status(settings: Settings, archive: ArchiveSettings, lake: Lake, topics: Sequence[str]) -> list[TopicStatus]:
    """The archive of these topics.

    Args:
        settings: Addresses and namespace.
        archive: From when on an event is in danger.
        lake: The archive.
        topics: Without the namespace.

    Raises:
        ArchiveError, StoreError: The archive can't be read.
        BrokerError: The cluster can't be asked.
    """
    if topics:
        broker.cluster_metadata(settings)  # whether anybody answers is said best here
    return [_status(settings, archive, lake, topic) for topic in topics]


def _status(settings: Settings, archive: ArchiveSettings, lake: Lake, topic: str) -> TopicStatus:
    full_name = settings.qualified(topic)
    state = lake.state(full_name)
    files = [*state.files.values(), *state.former.values()]
    staged = {file.staged.rpartition("/")[2] for file in files}
    now = time.time()
    gaps, danger, lag = state.gaps, {}, None
    try:
        found = waiting(settings, topic, state)
    except UnknownTopic:
        if not state.sequence:
            raise
    else:
        lag = found.offsets
        gaps = [*gaps, *found.gaps]
        if found.plan.ranges:
            first = oldest_waiting(settings, found)
            danger = endangered(found, first, retention_of(settings, full_name), archive.warn_share)
        danger |= {
            partition: f"it ends at {end}, before what is archived of it ({done}): Kafka has lost events"
            for partition, (end, done) in found.shrunk.items()
        }
    return TopicStatus(
        topic,
        len(files),
        sum(file.size_bytes for file in files),
        sum(file.events for file in files),
        sum(file.tombstones for file in files),
        sum(file.events for file in files if file.kind == "quarantine"),
        state.sequence,
        lag,
        now - max(file.max_ms for file in files) / 1000 if files else None,
        now - state.at_ms / 1000 if state.sequence else None,
        sum(each.uri.rpartition("/")[2] in staged for each in lake.store.list(f"{INNER}/staged/{full_name}")),
        tuple(gaps),
        danger,
    )
