"""The options that the commands of `tidemill replay` share: which events of a topic are meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tidemill.replay import Scan


class OnError(StrEnum):
    """What becomes of events that can't be read."""

    QUARANTINE = "quarantine"
    RAISE = "raise"
    SKIP = "skip"


class FromArchive(StrEnum):
    """What is read of the archive."""

    AUTO = "auto"
    ALL = "all"


TIMES = """
\b
Times: an age (90s, 15m, 2h, 7d), today, yesterday, now, "2026-11-24 09:30" (local time),
2026-11-24T09:30:00Z, or an offset for each partition (0:1500,1:1720). They are compared
with the events' own timestamps; an event at --to is not among them.
"""

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Topic, without the namespace, e.g. image.processed.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from", "-F", metavar="TIME", help="Begin here: 2h (ago), yesterday, a time. Default: the beginning."
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", "-T", metavar="TIME", help="End before this time. Default: the end as it is when reading begins."
    ),
]
Key = Annotated[list[str] | None, typer.Option("--key", "-k", metavar="KEY", help="Only this key; repeatable.")]
Where = Annotated[
    str | None,
    typer.Option("--where", "-w", metavar="SQL", help='Only events that fulfil this, e.g. "original.width > 4000".'),
]
Partitions = Annotated[
    list[int] | None, typer.Option("--partition", "-p", min=0, metavar="N", help="Only this partition; repeatable.")
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        "-c",
        metavar="A,B,...",
        help="Fields of the payload, * for all, and _partition, _offset, _timestamp, _key, _schema_id; from headers "
        "_headers, _id, _time, _root, _cause, _replay; raw _value. Default: all fields and the first five.",
    ),
]
OnErrorOption = Annotated[
    OnError,
    typer.Option("--on-error", help="Events that can't be read: put them aside, stop there, or only count them."),
]
Slack = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="MINUTES",
        help="With --to a time: by how many minutes events may lie later in the topic than their timestamps say.",
    ),
]
EveryPartition = Annotated[
    bool,
    typer.Option(
        "--every-partition",
        help="With --key: look for it in all partitions, for topics that got more of them or have foreign publishers.",
    ),
]
Archive = Annotated[
    FromArchive | None,
    typer.Option(
        "--archive",
        help="Read the archive (tidemill archive), too: what the topic has no more, or all that is in it and from the "
        "topic only the rest.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
JsonLines = Annotated[bool, typer.Option("--json", help="As JSON, an object a line.")]

SLACK_MINUTES = 10.0


@dataclass(frozen=True)
class Selection:
    """Which events a command was asked for; the fields are the options, in their order."""

    topic: str
    from_: str | None = None
    to: str | None = None
    key: list[str] | None = None
    where: str | None = None
    partition: list[int] | None = None
    columns: str | None = None
    on_error: OnError = OnError.QUARANTINE
    slack: float = SLACK_MINUTES
    every_partition: bool = False
    archive: FromArchive | None = None

    def scan(self) -> Scan:
        """The scan of these events; asks nobody.

        Raises:
            ConfigError: An option makes no sense.
        """
        from tidemill import replay

        return replay.scan(
            self.topic,
            self.from_,
            self.to,
            keys=self.key or None,
            columns=None if self.columns is None else [*filter(None, map(str.strip, self.columns.split(",")))],
            where=self.where,
            partitions=self.partition or None,
            on_error=self.on_error.value,
            slack=timedelta(minutes=self.slack),
            prune=not self.every_partition,
            archive=from_archive(self.archive),
        )


def from_archive(asked: FromArchive | None) -> bool | Literal["auto"]:
    """The option as `replay.scan` takes it."""
    return "auto" if asked is FromArchive.AUTO else asked is FromArchive.ALL
