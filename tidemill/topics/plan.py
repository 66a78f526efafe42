"""The steps from the topics that there are to those that there should be. Computes only; `cluster` does them.

Must never plan to delete a topic or to lower its partitions; differences that can't be mended are said, not hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tidemill.contracts.duration import format_duration
from tidemill.topics.wanted import CLEANUP, MIN_ISR, RETENTION, Topic, min_insync_replicas

Action = Literal["create", "add partitions", "set", "left as it is"]


@dataclass(frozen=True)
class Change:
    """One step, or one difference that is left as it is."""

    topic: str
    """With the namespace."""
    action: Action
    setting: str
    """What changes: `topic`, `partitions`, `replication`, or the name of a topic setting."""
    found: str | None
    """What there is; None where there is no topic."""
    wanted: str
    note: str = ""
    """What people should know before they say yes."""

    @property
    def is_step(self) -> bool:
        """Whether `apply` does something about it."""
        return self.action != "left as it is"


def plan(wanted: Iterable[Topic], actual: Mapping[str, Topic]) -> list[Change]:
    """What must be done, in the order of the topics' names.

    Args:
        wanted: What there should be.
        actual: What there is, by name; other topics in it are ignored.
    """
    changes: list[Change] = []
    for topic in sorted(wanted, key=lambda topic: topic.name):
        there = actual.get(topic.name)
        changes += [_create(topic)] if there is None else _differences(topic, there)
    return changes


def _create(topic: Topic) -> Change:
    copies = "1 copy" if topic.replication == 1 else f"{topic.replication} copies"
    parts = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
    kept = shown(RETENTION, topic.config[RETENTION])
    policy = topic.config[CLEANUP]
    keeps = f"keeps {kept}" if policy == "delete" else f"{policy}, keeps {kept}"
    return Change(topic.name, "create", "topic", None, f"{parts}, {copies}, {keeps}")


def _differences(wanted: Topic, there: Topic) -> list[Change]:
    changes = []
    if wanted.partitions > there.partitions:
        note = "keys move to other partitions: events of one key may pass each other once" if wanted.keyed else ""
        changes.append(
            Change(wanted.name, "add partitions", "partitions", str(there.partitions), str(wanted.partitions), note)
        )
    elif wanted.partitions < there.partitions:
        note = "partitions can't be taken away; raise the contract's number"
        changes.append(
            Change(wanted.name, "left as it is", "partitions", str(there.partitions), str(wanted.partitions), note)
        )
    if wanted.replication > there.replication:
        note = "copies are added with Kafka's own kafka-reassign-partitions"
        changes.append(
            Change(wanted.name, "left as it is", "replication", str(there.replication), str(wanted.replication), note)
        )
    config = dict(wanted.config)
    # More copies in sync than the topic has would refuse every event.
    config[MIN_ISR] = str(min_insync_replicas(min(wanted.replication, there.replication)))
    for name, value in config.items():
        found = there.config.get(name)
        if found is None or _canonical(name, found) != _canonical(name, value):
            changes.append(Change(wanted.name, "set", name, found, value, _note(name, found, value)))
    return changes


def _canonical(name: str, value: str) -> str:
    # Kafka gives a list back as it was set: "compact,delete" and "delete,compact" mean the same.
    return ",".join(sorted(value.replace(" ", "").split(","))) if name == CLEANUP else value


def _note(name: str, found: str | None, value: str) -> str:
    if name == RETENTION and found is not None and _shorter(value, found):
        return f"events older than {shown(RETENTION, value)} will be deleted"
    if name == CLEANUP and found is not None:
        gained = set(value.split(",")) - set(found.replace(" ", "").split(","))
        if "compact" in gained:
            return "of each key only the last event will be kept"
        if "delete" in gained:
            return "events past the retention will be deleted"
    return ""


def _shorter(value: str, found: str) -> bool:
    forever = -1
    return int(value) != forever and (int(found) == forever or int(value) < int(found))


def shown(setting: str, value: str | None) -> str:
    """A setting's value as people read it: `7d` for 604800000 ms, `forever` for -1."""
    if value is None:
        return ""
    if setting != RETENTION:
        return value
    milliseconds = int(value)
    if milliseconds < 0:
        return format_duration(None)
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return format_duration(timedelta(milliseconds=milliseconds))
