"""The demo's second half: a periodic job whose ticks ask for pictures, and an event that is due later.

The job is put into force beside whatever else the schedule holds, and taken away again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.table import Table

from scheduler.jobs.every import Every
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from scheduler.ticks.applying import write
from scheduler.ticks.books import Definition
from tidemill.cli.terminal import out
from tidemill.event import Event
from tidemill.events import ImageProcessed, ImageRequested, Rendition, ScheduleTick
from tidemill.tail import Tail

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.codec import Codec
    from tidemill.config import Settings
    from tidemill.publisher import Publisher

JOB = "demo-thumbnail"
PERIOD = timedelta(seconds=2)
TICKS = 3
DELAY = timedelta(seconds=3)
WAIT_SECONDS = 30.0


@dataclass
class Clockwork:
    """What was seen of the clock."""

    ticks: list[tuple[ScheduleTick, str]] = field(default_factory=list)
    """Ticks of the demo's job, each with its id."""
    made: dict[str, ImageProcessed] = field(default_factory=dict)
    """What the image stream has made, by the job that it belongs to: the tick, or the delayed event."""
    delayed_id: str = ""
    due: datetime | None = None
    arrived: datetime | None = None
    """When Kafka got the delayed event into its topic."""

    @property
    def late_ms(self) -> int | None:
        """How long after its time the delayed event came, in milliseconds."""
        if self.arrived is None or self.due is None:
            return None
        return round((self.arrived - self.due).total_seconds() * 1000)

    def faults(self) -> list[str]:
        """What isn't as it should be."""
        found = []
        if len(self.ticks) < TICKS:
            found.append(f"{len(self.ticks)} of {TICKS} ticks came in {WAIT_SECONDS:g} s")
        if len({tick.scheduled_at for tick, _ in self.ticks}) != len(self.ticks):
            found.append("a time has two ticks")
        found += [f"{tick_id} led to no picture" for _, tick_id in self.ticks[:TICKS] if tick_id not in self.made]
        if self.arrived is None or self.due is None:
            found.append("the delayed event didn't come")
        elif self.arrived < self.due:
            found.append(f"the delayed event came {self.due - self.arrived} early")
        elif self.delayed_id not in self.made:
            found.append("the delayed event led to no picture")
        return found


@contextmanager
def _in_force(settings: Settings, source: str) -> Iterator[None]:
    """The demo's job, for as long as it is needed."""
    now = datetime.now(UTC)
    job = Job(
        name=JOB,
        # Should nobody be there to take it away, it ends by itself.
        schedule=Schedule(Every(PERIOD), zone=ZoneInfo("UTC"), ends=now + timedelta(minutes=2)),
        emit=Emit(
            type=ImageRequested.__contract__.type,
            payload={"source": source, "renditions": [{"name": "tick-{{ sequence }}", "width": 160}]},
        ),
    )
    write(settings, [(JOB, "job", JOB, Definition(job, now, now, "the demo"))])
    try:
        yield
    finally:
        write(settings, [(JOB, "job", JOB, None)])


def watch_clock(settings: Settings, publisher: Publisher, codec: Codec, source: str) -> Clockwork:
    """Have the clock do something, and look at it.

    Args:
        settings: The stack's; a scheduler and an image worker must run on it.
        publisher, codec: Of these settings.
        source: URI of a picture that the worker may read.
    """
    seen = Clockwork()
    topics = [cls.__contract__.topic for cls in (ScheduleTick, ImageRequested, ImageProcessed)]
    with Tail(settings, topics) as tail, _in_force(settings, source):
        request = ImageRequested(source=source, renditions=[Rendition(name="delayed", width=160)])
        seen.due = datetime.now(UTC) + DELAY
        seen.delayed_id = publisher.publish(request, at=seen.due).id
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and not _is_complete(seen):
            for message in tail.read(0.5):
                _note(settings, codec, seen, message)
    return seen


def _is_complete(seen: Clockwork) -> bool:
    roots = [tick_id for _, tick_id in seen.ticks[:TICKS]]
    return len(seen.ticks) >= TICKS and all(root in seen.made for root in [*roots, seen.delayed_id])


def _note(settings: Settings, codec: Codec, seen: Clockwork, message: Message) -> None:
    event, value = Event.received(None, message), message.value()
    if value is None:
        return
    topic = (message.topic() or "").removeprefix(settings.namespace)
    if topic == ScheduleTick.__contract__.topic and event.key == JOB:
        if len(seen.ticks) < TICKS:
            seen.ticks.append((codec.decode(value, ScheduleTick), event.id))
    elif topic == ImageProcessed.__contract__.topic:
        seen.made[event.root] = codec.decode(value, ImageProcessed)
    elif topic == ImageRequested.__contract__.topic and event.id == seen.delayed_id:
        # Kafka's timestamps are cut to whole milliseconds.
        seen.arrived = datetime.fromtimestamp((message.timestamp()[1] + 1) / 1000, UTC)


def show_clock(seen: Clockwork) -> None:
    """What was seen, for people."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("TICK", "LATE", "WHAT CAME OF IT"):
        table.add_column(heading)
    for tick, tick_id in seen.ticks:
        made = seen.made.get(tick_id)
        result = made.renditions[0] if made is not None and made.renditions else None
        late = round((tick.emitted_at - tick.scheduled_at).total_seconds() * 1000)
        what = "" if result is None else f"{result.name}: {result.width} x {result.height}, {result.bytes:,} bytes"
        table.add_row(tick_id, f"{late} ms", what)
    out.print()
    out.print(table)
