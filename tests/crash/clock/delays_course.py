"""The course of the delays' storm: events are put off, schedulers and a broker are struck, all is read at last.

Each strike of a scheduler blocks until another is ready in its place, or it is awake again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from tests.crash.clock.delays_checker import Published, Seen
from tests.crash.clock.delays_seen import Watch
from tests.crash.clock.ticks_outages import How, Strike
from tests.crash.clock.ticks_schedulers import Place, Schedulers
from tests.integration.steps import StepAsked
from tests.integration.working import prepare
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import ScheduleSkipped, ScheduleTick
from tidemill.local import Stack
from tidemill.publisher import Publisher
from tidemill.topics import apply, house_topics

FIRST_SECONDS = 6.0
"""Before the first event is due, besides the time that publishing takes."""
PER_EVENT_SECONDS = 1 / 5_000
DRAIN_SECONDS = 90.0
KEYS = 997


@dataclass(frozen=True)
class Orders:
    """What the storm shall be.

    Args:
        events: How many wait.
        spread_seconds: Over which time they are due.
        seed: Of what is drawn.
        between_seconds: From one strike's begin to the next one's, at least and at most.
        pause_seconds: How long an instance is stopped by SIGSTOP; more than a session.
        hows: Ways to be drawn from; each is used once before any is used twice.
        broker_seconds: How long a broker is away, once; None for never.
        is_naive: Whether the negative control runs instead.
    """

    events: int
    spread_seconds: float
    seed: int
    between_seconds: tuple[float, float] = (15.0, 40.0)
    pause_seconds: float = 20.0
    hows: Sequence[How] = ("kill", "pause", "term")
    broker_seconds: float | None = 10.0
    is_naive: bool = False


@dataclass
class Record:
    """What the storm has left."""

    published: dict[str, Published]
    seen: list[Seen]
    strikes: list[Strike] = field(default_factory=list)
    fallen: list[str] = field(default_factory=list)
    """Schedulers that ended by themselves, or not as they should."""


def run(orders: Orders, stack: Stack, settings: Settings, folder: Path, note: Callable[[str], None]) -> Record:
    """Let the storm pass.

    Args:
        orders: What it shall be.
        stack: Running brokers and registry; a broker of it is killed.
        settings: With a namespace that nothing else uses.
        folder: An empty one.
        note: Told each strike.

    Raises:
        AssertionError: Something didn't even begin, or an act went wrong.
    """
    prepare(settings, StepAsked, ScheduleTick, ScheduleSkipped)
    apply(settings, [], house=house_topics())
    module = "tests.crash.clock.delays_naive" if orders.is_naive else "tidemill"
    arguments = ["-m", module, *([] if orders.is_naive else ["scheduler"])]
    with Watch(settings) as watch, Schedulers(settings, arguments, folder) as schedulers:
        first_due = datetime.now(UTC) + timedelta(seconds=FIRST_SECONDS + orders.events * PER_EVENT_SECONDS)
        record = Record(put_off(settings, orders, first_due), watch.seen)
        note(f"{len(record.published):,} events wait, the first for {_until(first_due.timestamp()):.1f} s")
        time.sleep(max(0.0, _until(first_due.timestamp())))
        with _broker_away(orders, stack, record, note, first_due.timestamp()):
            _strike(orders, schedulers, record, note, first_due.timestamp())
        deadline = time.monotonic() + DRAIN_SECONDS
        while not watch.ids.issuperset(record.published) and time.monotonic() < deadline:
            time.sleep(0.1)  # What is missing then is for the verdict to say.
        for place in schedulers.places:
            status = place.end(signal.SIGTERM)
            if status != 0:
                record.fallen.append(f"{place.name} ended with status {status}: {place.program.said[-600:]}")
        # What a dying scheduler still sends must be seen, too.
        _until_quiet(watch)
        record.fallen += schedulers.unasked
    return record


def put_off(settings: Settings, orders: Orders, first_due: datetime) -> dict[str, Published]:
    """Publish the events; returns those whose receipts came, which are all, or it fails."""
    luck = Random(orders.seed)
    published = {}
    with Registry(settings) as registry, Publisher(settings, codec=(codec := Codec(registry))) as publisher:
        receipts = []
        for number in range(orders.events):
            event = StepAsked(lane=f"lane-{number % KEYS}", number=number, note="x" * 150)
            due = first_due + timedelta(seconds=luck.uniform(0.0, orders.spread_seconds))
            published[f"d{number}"] = Published(due.timestamp(), codec.encode(event))
            receipts.append(publisher.publish(event, id=f"d{number}", at=due))
        for receipt in receipts:
            receipt.result(60)
    return published


def _until(moment: float) -> float:
    return moment - time.time()


def _until_quiet(watch: Watch) -> None:
    count = -1
    while count != len(watch.seen):
        count = len(watch.seen)
        time.sleep(1.0)


def _strike(
    orders: Orders, schedulers: Schedulers, record: Record, note: Callable[[str], None], first_due: float
) -> None:
    luck = Random(f"{orders.seed} strikes")
    end = first_due + orders.spread_seconds
    draw: list[How] = []
    while True:
        next_at = time.time() + luck.uniform(*orders.between_seconds)
        if next_at > end:
            time.sleep(max(0.0, _until(end)))
            return
        time.sleep(max(0.0, _until(next_at)))
        if not draw:
            draw = list(orders.hows)
            luck.shuffle(draw)
        strike = _act(draw.pop(), luck.choice(schedulers.places), orders, luck)
        record.strikes.append(strike)
        note(f"{strike.start_seconds - first_due:6.1f} s  {strike.how} {strike.victim}")


def _act(how: How, place: Place, orders: Orders, luck: Random) -> Strike:
    place.until_ready()
    victim, began = place.name, time.time()
    if how == "pause":
        place.send(signal.SIGSTOP)
        time.sleep(orders.pause_seconds)
        place.send(signal.SIGCONT)
        return Strike(how, victim, began, time.time())
    if how == "kill":
        place.end(signal.SIGKILL)
        time.sleep(luck.uniform(0.0, 3.0))
    else:
        status = place.end(signal.SIGTERM)
        assert status == 0, f"{victim} ended with status {status} after SIGTERM:\n{place.program.said[-2000:]}"
    place.start()
    place.until_ready()
    return Strike(how, victim, began, time.time())


@contextmanager
def _broker_away(
    orders: Orders, stack: Stack, record: Record, note: Callable[[str], None], first_due: float
) -> Iterator[None]:
    """Kill a broker in the middle of the block, and start it again."""
    if orders.broker_seconds is None:
        yield
        return
    luck = Random(f"{orders.seed} broker")
    failures: list[BaseException] = []
    is_over = threading.Event()

    def strike(seconds: float) -> None:
        if is_over.wait(orders.spread_seconds * luck.uniform(0.4, 0.6)):
            return
        victim, began = luck.choice(stack.brokers), time.time()
        victim.kill()
        try:
            time.sleep(seconds)
            victim.start()
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits for this one
            failures.append(error)
        record.strikes.append(Strike("kill-broker", f"broker {victim.number}", began, time.time()))
        note(f"{began - first_due:6.1f} s  kill-broker {victim.number}")

    thread = threading.Thread(target=strike, args=(orders.broker_seconds,), name="broker away")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if failures:
        raise failures[0]
