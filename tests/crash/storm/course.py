"""The course of a storm on a running stack: workers, load, acts, healing; and what is left at its end, for the checker.

The stack is the caller's. Whatever happens, the storm leaves no worker behind and no broker paused by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from tests.crash.storm.acts import Act, Victim
from tests.crash.storm.crew import Crew
from tests.crash.storm.drawing import PAUSE_SECONDS, Draw, draws
from tests.crash.storm.events import ErrandAsked, ParcelSent, ReceiptGiven
from tests.crash.storm.evidence import Evidence
from tests.crash.storm.field import Field, Nemesis
from tests.crash.storm.handlers import errands, parcels
from tests.crash.storm.ledgers import Handled, Ledger, Published, now_seconds
from tests.crash.storm.load import SteadyLoad
from tests.crash.storm.reading import gather
from tests.crash.storm.sampling import Sample, Sampling
from tests.crash.storm.tally import Tally
from tests.crash.storm.waiting import Waiting
from tests.integration.working import prepare, wait_until
from tidemill.config import Settings
from tidemill.errors import TidemillError
from tidemill.local import Stack

STREAMS = (parcels, errands)
AT_WORK_SECONDS = 60.0
ZERO_LAG_SECONDS = 120.0
"""So long a storm waits for zero lag in the end, to tell something slow from something that stands still."""


@dataclass(frozen=True)
class Orders:
    """What a storm is to be.

    Args:
        seconds: From the first pause to the end of the last act, about: an act that has begun is not cut short.
        seed: What is published, and which acts follow each other.
        rate_per_second: Events published.
        workers: Supervisors, each with one worker process.
        nemeses: Those that are drawn from.
        pause_seconds: Shortest and longest pause between two acts.
    """

    seconds: float
    seed: int
    rate_per_second: float
    nemeses: Sequence[Nemesis]
    workers: int = 2
    pause_seconds: tuple[float, float] = PAUSE_SECONDS


@dataclass(frozen=True)
class Record:
    """What a storm has left.

    Args:
        start_seconds: Its begin, as the ledgers' times.
        healed_seconds: When the last act was over.
        zero_lag_seconds: When nothing waited any more; None where something did to the end.
        acts, victims, samples: In order.
        fallen: What is wrong with supervisors.
        evidence: For the checker.
    """

    start_seconds: float
    healed_seconds: float
    zero_lag_seconds: float | None
    acts: Sequence[Act]
    victims: Sequence[Victim]
    samples: Sequence[Sample]
    fallen: Sequence[str]
    evidence: Evidence


@dataclass(frozen=True)
class Watcher:
    """Who watches a storm.

    Args:
        act: Told when an act begins, by its nemesis's name, and when it is over, by what was done.
        sample: Told of each sample.
    """

    act: Callable[[str], None] = lambda line: None
    sample: Callable[[Sample], None] = lambda sample: None


def run(orders: Orders, stack: Stack, settings: Settings, folder: Path, watcher: Watcher | None = None) -> Record:
    """Let a storm pass.

    Args:
        orders: What it is to be.
        stack: Where; three brokers.
        settings: With a namespace that nothing else uses.
        folder: Where ledgers and the workers' output are kept.
        watcher: Told what happens.

    Raises:
        AssertionError: The workers don't get to work before it begins.
    """
    watcher = watcher or Watcher()
    prepare(settings, ParcelSent, ErrandAsked, ReceiptGiven)
    published, handled = folder / "published", folder / "handled"
    tally = Tally(handled)
    with ExitStack() as ends:
        ledger = Ledger(published)
        ends.callback(ledger.close)
        crew = Crew(settings, tuple(each.reference for each in STREAMS), handled, folder)
        load = SteadyLoad(settings, ledger, seed=orders.seed, rate_per_second=orders.rate_per_second)
        field = Field(settings, stack, crew, load, tally, folder, watcher.act)
        # Some share theirs.
        for around in dict.fromkeys(nemesis.around for nemesis in orders.nemeses):
            if around is not None:
                ends.enter_context(around(field))
        ends.enter_context(crew)
        crew.scale(orders.workers)
        waiting = ends.enter_context(Waiting(settings, STREAMS))
        ends.callback(load.stop)
        load.start()
        # A worker that hasn't got its partitions yet is no victim to learn anything from.
        wait_until(field.all_at_work, "each worker has begun an event", AT_WORK_SECONDS)
        start = now_seconds()
        with Sampling(crew, load, tally, waiting, watcher.sample) as sampling:
            acts = _acts(orders, field, watcher)
            healed = now_seconds()
            load.stop()
            zero_lag = _until_zero_lag(waiting)
        crew.scale(0)
        return Record(
            start_seconds=start,
            healed_seconds=healed,
            zero_lag_seconds=zero_lag,
            acts=acts,
            victims=field.victims,
            samples=sampling.samples,
            fallen=crew.fallen(),
            evidence=gather(settings, Published.read(published), Handled.read(handled)),
        )


def _acts(orders: Orders, field: Field, watcher: Watcher) -> list[Act]:
    acts: list[Act] = []
    end = time.monotonic() + orders.seconds
    for draw in draws(orders.seed, orders.nemeses, orders.pause_seconds):
        if time.monotonic() + draw.pause_seconds >= end:
            break
        time.sleep(draw.pause_seconds)
        act = _act(draw, field, watcher)
        acts.append(act)
        if act.error:
            # What it broke may still be broken: no further act could be judged.
            break
    time.sleep(max(0.0, end - time.monotonic()))
    return acts


def _act(draw: Draw, field: Field, watcher: Watcher) -> Act:
    nemesis = draw.nemesis
    watcher.act(f"{nemesis.name} ...")
    start = now_seconds()
    error = target = ""
    try:
        target = nemesis.act(field, Random(draw.seed))
    except (AssertionError, TidemillError, psutil.Error, OSError) as raised:
        error = f"{type(raised).__name__}: {raised}"
    watcher.act(f"{nemesis.name}: {error or target}")
    return Act(start, now_seconds(), nemesis.name, target or error, nemesis.most_stall_seconds, error)


def _until_zero_lag(waiting: Waiting) -> float | None:
    deadline = time.monotonic() + ZERO_LAG_SECONDS
    while time.monotonic() < deadline:
        if waiting.ask() == 0:
            return now_seconds()
        time.sleep(0.1)
    return None
