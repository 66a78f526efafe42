"""A periodic job as it is declared: when it runs, what becomes of runs that were missed, and the event it emits.

It travels in a Kafka topic as JSON: reading what was written gives an equal job, and properties that a newer version
has added are ignored. Computes only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from scheduler.jobs.record import Record
from scheduler.jobs.schedule import Schedule
from tidemill.errors import ConfigError

Missed = Literal["skip", "latest", "all"]
Overlap = Literal["allow", "skip"]


@dataclass(frozen=True, kw_only=True)
class Emit:
    """The event that a job emits at each of its times. Texts may hold `{{ expressions }}`."""

    type: str
    """Event type, e.g. `report.requested`."""
    payload: dict[str, Any] = field(default_factory=dict)
    """Fields of the event, as JSON data."""
    key: str | None = None
    """Kafka key; None: the value of the field that the contract names."""
    subject: str | None = None
    """What the event is about: the CloudEvents `subject`."""

    def to_data(self) -> dict[str, Any]:
        """As JSON data, in the words of jobs.toml; what isn't set is left out."""
        data: dict[str, Any] = {"type": self.type, "payload": self.payload}
        for name, text in (("key", self.key), ("subject", self.subject)):
            if text is not None:
                data[name] = text
        return data

    @classmethod
    def from_record(cls, record: Record) -> Emit:
        """What `to_data` wrote.

        Raises:
            ValueError: It is none; says what was found and what was expected.
        """
        return cls(
            type=record.take("type", str),
            payload=record.take("payload", dict, {}),
            key=record.text("key"),
            subject=record.text("subject"),
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One `[[job]]` of jobs.toml, checked."""

    name: str
    schedule: Schedule
    jitter: timedelta = timedelta(0)
    """A run is emitted up to so much after its scheduled time, always equally late for an equal time."""
    enabled: bool = True
    missed: Missed = "latest"
    """What becomes of times at which no scheduler could emit; see `scheduler.jobs.pending`."""
    missed_limit: int = 1000
    """With missed="all": so many of the newest are emitted."""
    grace: timedelta = timedelta(minutes=1)
    """A run that is later than this has been missed."""
    overlap: Overlap = "allow"
    """Whether a run starts while the one before it is unfinished."""
    stream: str | None = None
    """With overlap="skip": the stream whose work tells when a run is finished."""
    emit: Emit | None = None
    """None: the job only ticks."""

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits that change when, and only when, the job's times may: it covers schedule and jitter."""
        timing = {**self.schedule.to_data(), "jitter_seconds": self.jitter.total_seconds()}
        return hashlib.sha256(_canonical(timing).encode()).hexdigest()[:12]

    def due_at(self, scheduled_at: datetime) -> datetime:
        """When the run of a scheduled time is to be emitted: after its jitter, in whole milliseconds.

        Spread evenly over jobs and times, but the same on every machine and at every try.
        """
        if not self.jitter:
            return scheduled_at
        name = f"{self.name}@{scheduled_at.astimezone(UTC).isoformat()}"
        draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        most_ms = self.jitter // timedelta(milliseconds=1)
        return scheduled_at + timedelta(milliseconds=draw * (most_ms + 1) >> 64)

    def to_json(self) -> str:
        """The definition as compact JSON; equal jobs give equal texts."""
        data: dict[str, Any] = {
            "name": self.name,
            **self.schedule.to_data(),
            "jitter_seconds": self.jitter.total_seconds(),
            "enabled": self.enabled,
            "missed": self.missed,
            "missed_limit": self.missed_limit,
            "grace_seconds": self.grace.total_seconds(),
            "overlap": self.overlap,
        }
        if self.stream is not None:
            data["stream"] = self.stream
        if self.emit is not None:
            data["emit"] = self.emit.to_data()
        return _canonical(data)

    @classmethod
    def from_json(cls, text: str | bytes) -> Job:
        """The job that `to_json` wrote, also by a newer version: properties unknown here are ignored.

        Raises:
            ConfigError: It is no such text; says what was found and what was expected.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _garbage(f"it is not JSON ({error})") from error
        if type(data) is not dict:
            raise _garbage(f"expected a JSON object, found {type(data).__name__}")
        try:
            return cls._from_record(Record(data))
        except ValueError as error:
            name = data.get("name")
            raise _garbage(str(error), f" of {name!r}" if isinstance(name, str) else "") from error

    @classmethod
    def _from_record(cls, record: Record) -> Job:
        missed_limit = record.take("missed_limit", int, 1000)
        if missed_limit < 1:
            raise ValueError(f"'missed_limit' is {missed_limit}, expected at least 1")
        return cls(
            name=record.take("name", str),
            schedule=Schedule.from_record(record),
            jitter=record.seconds("jitter_seconds", 0),
            enabled=record.take("enabled", bool, True),
            missed=record.choice("missed", ("skip", "latest", "all"), "latest"),
            missed_limit=missed_limit,
            grace=record.seconds("grace_seconds", 60),
            overlap=record.choice("overlap", ("allow", "skip"), "allow"),
            stream=record.text("stream"),
            emit=Emit.from_record(Record(record.take("emit", dict))) if "emit" in record else None,
        )


def _garbage(found: str, whose: str = "") -> ConfigError:
    return ConfigError(
        f"The job definition{whose} can't be read: {found}.",
        hint="Apply jobs.toml again; if another program wrote this, ask what it is.",
    )


def _canonical(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
