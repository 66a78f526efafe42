"""Putting a schedule into force: what changes against the one that is, and writing that down in `schedule.jobs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from confluent_kafka import KafkaException, Producer

from scheduler.log import partitions_of, read_log
from scheduler.ticks.books import Books, Definition, Kind, Page, key_of, partition_of_job, to_bytes
from scheduler.topics import JOBS
from tidemill import broker
from tidemill.errors import NotDelivered

if TYPE_CHECKING:
    from confluent_kafka import Message

    from scheduler.jobs.job import Job
    from scheduler.ticks.books import Pause, RunRequest
    from tidemill.config import Settings
    from tidemill.errors import TidemillError

WRITE_SECONDS = 30.0

Action = Literal["added", "rescheduled", "changed", "removed"]


@dataclass(frozen=True)
class JobChange:
    """One job that isn't as it was."""

    name: str
    action: Action
    """`rescheduled`: its times change, and count from now on. `changed`: something else does."""
    definition: Definition | None
    """As it is to be; None for one that is removed."""
    was: Job | None


def read_books(settings: Settings, partitions: Sequence[int] | None = None) -> Books:
    """All that `schedule.jobs` says now; what can't be read is left out.

    Raises:
        UnknownTopic, BrokerError: The topic can't be read.
    """
    from tidemill.errors import DecodeError
    from tidemill.telemetry import get_logger

    books = Books()
    for message in read_log(settings, JOBS.name, partitions):
        key = message.key()
        try:
            books.take(key if isinstance(key, bytes) else None, message.value())
        except DecodeError as error:
            get_logger("scheduler").error("a record is passed over", offset=message.offset(), error=str(error))
    return books


def changes(pages: Mapping[str, Page], jobs: Sequence[Job], now: datetime, by: str) -> list[JobChange]:
    """What has to change so that these jobs, and no others, are in force; by name.

    Args:
        pages: What is in force.
        jobs: What is to be.
        now: From when on new times count, aware.
        by: Who wants it.
    """
    found = []
    wanted = {job.name: job for job in jobs}
    for name, job in sorted(wanted.items()):
        page = pages.get(name)
        is_in_force = page.definition if page is not None else None
        if is_in_force is None:
            found.append(JobChange(name, "added", Definition(job, now, now, by), None))
        elif is_in_force.job != job:
            definition = Definition(job, is_in_force.since, now, by)
            if definition.mark == is_in_force.mark:
                found.append(JobChange(name, "changed", definition, is_in_force.job))
            else:
                found.append(JobChange(name, "rescheduled", Definition(job, now, now, by), is_in_force.job))
    for name, page in sorted(pages.items()):
        if page.definition is not None and name not in wanted:
            found.append(JobChange(name, "removed", None, page.definition.job))
    return sorted(found, key=lambda change: change.name)


def write(
    settings: Settings,
    records: Sequence[tuple[str, Kind, str, Definition | Pause | RunRequest | None]],
    acknowledged: Callable[[Message], None] | None = None,
) -> None:
    """Write records into the books, and wait until they are acknowledged.

    Args:
        settings: Addresses, security, namespace.
        records: Of each the job, the kind, the key's name, and the record; None takes it away.
        acknowledged: Called for each.

    Raises:
        UnknownTopic, NotDelivered, BrokerError: Something isn't written.
    """
    count = partitions_of(settings, JOBS.name)
    topic = settings.qualified(JOBS.name)
    failures: list[TidemillError] = []

    def delivered(error: object, message: Message) -> None:
        if error is not None:
            failures.append(broker.from_kafka(error, settings, topic=topic))  # type: ignore[arg-type]
        elif acknowledged is not None:
            acknowledged(message)

    try:
        producer = Producer(broker.producer_config(settings))
        for job, kind, name, record in records:
            while True:
                try:
                    producer.produce(
                        topic,
                        None if record is None else to_bytes(record),
                        key_of(kind, name),
                        partition_of_job(job, count),
                        on_delivery=delivered,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        left = producer.flush(WRITE_SECONDS)
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=topic) from error
    if failures:
        raise failures[0]
    if left:
        raise NotDelivered(
            f"{left} of {len(records)} records for {topic!r} aren't acknowledged after {WRITE_SECONDS:g} s.",
            hint="Do it again when the brokers answer: what is written already stays as it is.",
        )


def put_in_force(settings: Settings, found: Sequence[JobChange]) -> None:
    """Write changes down; raises as `write`."""
    write(settings, [(change.name, "job", change.name, change.definition) for change in found])
