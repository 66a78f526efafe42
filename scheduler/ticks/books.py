"""The records of `schedule.jobs`: what jobs there are, where each stands, who paused one, who asked for a run.

Keys say the kind and the job, values are JSON. The topic is compacted, so the last record of a key is the state. All of
a job lies in one partition, that of its name. No Kafka here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from scheduler.jobs.job import Job
from tidemill.errors import ConfigError, DecodeError
from tidemill.partitioning import partition_of

Kind = Literal["job", "state", "pause", "run"]
"""What a record tells."""

T = TypeVar("T")


@dataclass(frozen=True)
class Definition:
    """A job as it was last applied."""

    job: Job
    since: datetime
    """From when on its times count: when this schedule was first applied, aware, UTC."""
    applied_at: datetime
    by: str
    """Who applied it."""

    @property
    def mark(self) -> str:
        """Tells whether times count from the same moment on: another schedule, or one that was off, begins anew."""
        return self.job.fingerprint if self.job.enabled else f"{self.job.fingerprint}-off"


@dataclass(frozen=True)
class Emitted:
    """An event in its topic."""

    id: str
    topic: str
    """With the namespace."""
    partition: int
    offset: int


@dataclass(frozen=True)
class Ran:
    """The last tick of a job."""

    tick: Emitted
    scheduled_at: datetime
    emitted_at: datetime
    by: str
    manual: bool = False
    emit: Emitted | None = None
    """What the job asks for, where it asks for anything."""


@dataclass(frozen=True)
class State:
    """How far a job is."""

    settled: datetime
    """The last scheduled time that was emitted or skipped for good; it never goes back."""
    sequence: int = 0
    """Ticks so far, without those by hand."""
    skipped: int = 0
    """Scheduled times since the last tick that got none."""
    ran: Ran | None = None


@dataclass(frozen=True)
class Pause:
    """A job gets no ticks from one moment to another."""

    start: datetime
    end: datetime | None
    """None while it lasts."""
    by: str
    why: str = ""


@dataclass(frozen=True)
class RunRequest:
    """Somebody wants a run now."""

    id: str
    job: str
    asked_at: datetime
    by: str


ANSWER = "tm_answer"
"""Header of the record that takes a request away: what became of it."""
TICK = "tm_tick"
"""Header beside it: id of the tick that was emitted."""


def key_of(kind: Kind, name: str) -> bytes:
    """The key of a record.

    Args:
        kind: What it tells.
        name: The job's name; of a request its id.
    """
    return f"{kind}/{name}".encode()


def kind_of(key: bytes | None) -> tuple[Kind, str] | None:
    """What a key means; None where it isn't one of ours."""
    try:
        kind, slash, name = (key or b"").decode().partition("/")
    except UnicodeDecodeError:
        return None
    if not slash or not name or kind not in ("job", "state", "pause", "run"):
        return None
    return kind, name  # type: ignore[return-value]


def partition_of_job(name: str, partitions: int) -> int:
    """The partition of all records of a job."""
    return partition_of(name.encode(), partitions)


def to_bytes(record: Definition | State | Pause | RunRequest) -> bytes:
    """A record's value."""
    # Not dataclasses.asdict, which copies deeply: states are written by the thousand in the second they are due.
    fields = dict(vars(record))
    if isinstance(record, Definition):
        fields["job"] = json.loads(record.job.to_json())
    return json.dumps(fields, default=_as_data, separators=(",", ":"), ensure_ascii=False).encode()


def definition_from(value: bytes) -> Definition:
    """Raises DecodeError where it can't be read."""

    def read(data: Mapping[str, Any]) -> Definition:
        since, applied_at = _times(data, "since", "applied_at")
        return Definition(Job.from_json(json.dumps(data["job"])), since, applied_at, str(data["by"]))

    return _read(value, read)


def state_from(value: bytes) -> State:
    """Raises DecodeError where it can't be read."""

    def read(data: Mapping[str, Any]) -> State:
        (settled,) = _times(data, "settled")
        return State(settled, int(data["sequence"]), int(data["skipped"]), _ran(data["ran"]))

    return _read(value, read)


def pause_from(value: bytes) -> Pause:
    """Raises DecodeError where it can't be read."""

    def read(data: Mapping[str, Any]) -> Pause:
        (start,) = _times(data, "start")
        end = None if data["end"] is None else _times(data, "end")[0]
        return Pause(start, end, str(data["by"]), str(data["why"]))

    return _read(value, read)


def run_request_from(value: bytes) -> RunRequest:
    """Raises DecodeError where it can't be read."""

    def read(data: Mapping[str, Any]) -> RunRequest:
        (asked_at,) = _times(data, "asked_at")
        return RunRequest(str(data["id"]), str(data["job"]), asked_at, str(data["by"]))

    return _read(value, read)


def _ran(data: Mapping[str, Any] | None) -> Ran | None:
    if data is None:
        return None
    scheduled_at, emitted_at = _times(data, "scheduled_at", "emitted_at")
    emit = None if data["emit"] is None else _emitted(data["emit"])
    return Ran(_emitted(data["tick"]), scheduled_at, emitted_at, str(data["by"]), bool(data["manual"]), emit)


def _emitted(data: Mapping[str, Any]) -> Emitted:
    return Emitted(str(data["id"]), str(data["topic"]), int(data["partition"]), int(data["offset"]))


def _times(data: Mapping[str, Any], *names: str) -> list[datetime]:
    return [datetime.fromisoformat(data[name]).astimezone(UTC) for name in names]


def _as_data(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (Ran, Emitted)):
        return vars(value)
    raise TypeError(f"{type(value).__name__} has no place in the books")


def _read(value: bytes, build: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return build(json.loads(value))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ConfigError) as error:
        raise DecodeError(f"A record of schedule.jobs can't be read: {type(error).__name__}: {error}.") from error


@dataclass
class Page:
    """All that the books say of one job."""

    name: str
    definition: Definition | None = None
    state: State | None = None
    pause: Pause | None = None

    @property
    def is_paused(self) -> bool:
        """Whether it gets no ticks at present."""
        return self.pause is not None and self.pause.end is None


@dataclass
class Books:
    """What a partition's log says, or that of all partitions."""

    pages: dict[str, Page] = field(default_factory=dict)
    """By the job's name; also of jobs that were removed, as long as their state is kept."""
    requests: dict[bytes, RunRequest] = field(default_factory=dict)
    """Unanswered ones, by their keys."""

    def take(self, key: bytes | None, value: bytes | None) -> tuple[Kind, str] | None:
        """Learn from one record.

        Returns:
            What it was about; None for a record that isn't one of these.

        Raises:
            DecodeError: Its value can't be read; nothing has changed.
        """
        about = kind_of(key)
        if about is None or key is None:
            return None
        kind, name = about
        if kind == "run":
            if value is None:
                self.requests.pop(key, None)
            else:
                self.requests[key] = run_request_from(value)
            return about
        page = self.pages.get(name) or Page(name)
        if kind == "job":
            page = replace(page, definition=None if value is None else definition_from(value))
        elif kind == "state":
            page = replace(page, state=None if value is None else state_from(value))
        else:
            page = replace(page, pause=None if value is None else pause_from(value))
        self.pages[name] = page
        return about
