"""The course of the ticks' storm: jobs are put into force, schedulers and a broker are struck, what is left is read.

Each strike blocks until what it broke is healed; the broker's goes on beside those of the schedulers.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from scheduler.jobs.file import read_jobs
from scheduler.ticks.applying import changes, put_in_force
from tests.crash.clock.ticks_jobs import jobs_toml, names
from tests.crash.clock.ticks_outages import How, Owned, Strike
from tests.crash.clock.ticks_schedulers import Place, Schedulers
from tests.crash.clock.ticks_seen import Seen, Watch
from tests.integration.working import wait_until
from tidemill.cli.app import prepare_contracts
from tidemill.config import Settings
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.local import Stack

DRAIN_SECONDS = 90.0
FIRST_TICKS_SECONDS = 40.0
NOTICE_SECONDS = 10.0
"""A woken instance must have said by then that its partitions are lost."""


@dataclass(frozen=True)
class Orders:
    """What the storm shall be.

    Args:
        seconds: How long schedulers are struck.
        jobs: How many.
        seed: Of what is drawn.
        between_seconds: From one strike's begin to the next one's, at least and at most.
        pause_seconds: How long an instance is stopped by SIGSTOP; more than a session.
        hows: Ways to be drawn from; each is used once before any is used twice.
        broker_seconds: How long a broker is away, once, in the middle; None for never.
        is_naive: Whether the negative control runs instead.
    """

    seconds: float
    jobs: int
    seed: int
    between_seconds: tuple[float, float] = (15.0, 40.0)
    pause_seconds: float = 20.0
    hows: Sequence[How] = ("kill", "pause", "term")
    broker_seconds: float | None = 10.0
    is_naive: bool = False


@dataclass
class Record:
    """What the storm has left.

    Args:
        jobs: Names.
        applied_at: Since when they are in force, seconds since 1970.
        start_seconds: When the first strike could come, seconds since 1970.
        seen: What a reader of committed events has seen.
        strikes: What was done.
        owned: Who has taken which partition over.
        admissions: Of each pause, by its begin: what the woken instance has said of it.
        fallen: What is wrong with schedulers: those that ended by themselves, and exit statuses.
        behind: What isn't up to date in the end; empty where all is.
    """

    jobs: list[str]
    applied_at: float
    start_seconds: float
    seen: Seen
    strikes: list[Strike] = field(default_factory=list)
    owned: list[Owned] = field(default_factory=list)
    admissions: dict[float, list[str]] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)
    behind: str = ""


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
    folder.mkdir(exist_ok=True)
    file = folder / "jobs.toml"
    file.write_text(jobs_toml(orders.jobs), encoding="utf-8")
    list(prepare_contracts(settings))
    applied_at = put_into_force(settings, file)
    arguments = ["-m", "tidemill", "scheduler", "--jobs", str(file)]
    if orders.is_naive:
        arguments = ["-m", "tests.crash.clock.ticks_naive"]
    jobs = names(orders.jobs)
    with Watch(settings) as watch, Schedulers(settings, arguments, folder) as schedulers:
        wait_until(lambda: watch.newest_of_all(jobs) > 0, "every job has ticked", FIRST_TICKS_SECONDS)
        record = Record(jobs, applied_at, time.time(), watch.seen)
        with _broker_away(orders, stack, record, note):
            _strike(orders, schedulers, record, note)
        until_seconds = time.time()
        deadline = time.monotonic() + DRAIN_SECONDS
        while watch.newest_of_all(jobs) < until_seconds - 1 and time.monotonic() < deadline:
            time.sleep(0.1)  # Whether it took too long is for the report to say.
        if (newest := watch.newest_of_all(jobs)) < until_seconds - 1:
            record.behind = f"some job is {time.time() - newest:.0f} s behind, {DRAIN_SECONDS:g} s after the last act"
        for place in schedulers.places:
            status = place.end(signal.SIGTERM)
            if status != 0:
                record.fallen.append(f"{place.name} ended with status {status}: {place.program.said[-600:]}")
        _until_read(watch)
        record.owned = schedulers.owned()
        record.fallen += schedulers.unasked
        for strike in record.strikes:
            if strike.how == "pause":
                record.admissions[strike.start_seconds] = schedulers.admissions(
                    strike.victim, strike.end_seconds, strike.end_seconds + NOTICE_SECONDS
                )
    return record


def put_into_force(settings: Settings, file: Path) -> float:
    """Apply a schedule where none is; returns since when it counts, seconds since 1970."""
    now = datetime.now(UTC)
    put_in_force(settings, changes({}, read_jobs(file, Catalogue(installed_events()), now), now, "the storm"))
    return now.timestamp()


def _strike(orders: Orders, schedulers: Schedulers, record: Record, note: Callable[[str], None]) -> None:
    luck = Random(orders.seed)
    end = time.monotonic() + orders.seconds
    draw: list[How] = []
    while True:
        next_at = time.monotonic() + luck.uniform(*orders.between_seconds)
        if next_at > end:
            time.sleep(max(0.0, end - time.monotonic()))
            return
        if not draw:
            draw = list(orders.hows)
            luck.shuffle(draw)
        how, place = draw.pop(), luck.choice(schedulers.places)
        strike = _act(how, place, schedulers, orders, luck)
        record.strikes.append(strike)
        note(f"{strike.start_seconds - record.start_seconds:6.1f} s  {how} {strike.victim}")
        time.sleep(max(0.0, min(next_at, end) - time.monotonic()))


def _act(how: How, place: Place, schedulers: Schedulers, orders: Orders, luck: Random) -> Strike:
    place.until_ready()
    victim, began = place.name, time.time()
    if how == "pause":
        place.send(signal.SIGSTOP)
        time.sleep(orders.pause_seconds)
        woken = time.time()
        place.send(signal.SIGCONT)
        # Whoever is killed at once can't say that it was shut out.
        deadline = time.monotonic() + NOTICE_SECONDS
        while not schedulers.admissions(victim, woken, woken + NOTICE_SECONDS) and time.monotonic() < deadline:
            time.sleep(0.1)  # Whether it has said so is for the report to tell.
        return Strike(how, victim, began, woken)
    if how == "kill":
        place.end(signal.SIGKILL)
        time.sleep(luck.uniform(0.0, 4.0))
    else:
        status = place.end(signal.SIGTERM)
        assert status == 0, f"{victim} ended with status {status} after SIGTERM:\n{place.program.said[-2000:]}"
    place.start()
    place.until_ready()
    return Strike(how, victim, began, time.time())


@contextmanager
def _broker_away(orders: Orders, stack: Stack, record: Record, note: Callable[[str], None]) -> Iterator[None]:
    """Kill a broker in the middle of the block, and start it again."""
    if orders.broker_seconds is None:
        yield
        return
    luck = Random(f"{orders.seed} broker")
    failures: list[BaseException] = []
    is_over = threading.Event()

    def strike(seconds: float) -> None:
        if is_over.wait(orders.seconds * luck.uniform(0.4, 0.6)):
            return
        victim = luck.choice(stack.brokers)
        began = time.time()
        victim.kill()
        try:
            time.sleep(seconds)
        finally:
            try:
                victim.start()
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits for this one
                failures.append(error)
        record.strikes.append(Strike("kill-broker", f"broker {victim.number}", began, time.time()))
        note(f"{began - record.start_seconds:6.1f} s  kill-broker {victim.number}, for {seconds:g} s")

    thread = threading.Thread(target=strike, args=(orders.broker_seconds,), name="ticks-storm-broker")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if failures:
        raise failures[0]


def _until_read(watch: Watch) -> None:
    """Wait until nothing more comes: schedulers that are stopped have committed all they will."""
    count = -1
    while count != (count := len(watch.seen.ticks) + len(watch.seen.emits)):
        time.sleep(2.0)
