"""The negative control: what a storm does to Tidemill's workers, done to a naive Faust agent, must cost events."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.crash.naive import READY, naive_worker
from tests.crash.storm.checker import judge
from tests.crash.storm.events import ErrandAsked, ParcelSent, ReceiptGiven
from tests.crash.storm.ledgers import Handled, Ledger, Published
from tests.crash.storm.load import SteadyLoad
from tests.crash.storm.notes import Doing, note
from tests.crash.storm.reading import gather
from tests.integration.worker_program import Program
from tests.integration.working import lag, prepare, wait_until
from tidemill.config import Settings

RATE = 15.0
"""An agent handles one event after the other, so it takes no more than this."""
NAIVE: Any = SimpleNamespace(topic=ParcelSent.__contract__.topic, group="naive")
"""What `lag` asks of a stream."""


def test_a_naive_agent_loses_events_in_the_same_storm(settings: Settings, tmp_path: Path) -> None:
    prepare(settings, ParcelSent, ErrandAsked, ReceiptGiven)
    published, handled = tmp_path / "published", tmp_path / "handled"
    # aiokafka, on which Faust stands, can't read the default, lz4, without a further package.
    readable = settings.model_copy(update={"compression": "gzip"})
    load = SteadyLoad(readable, Ledger(published), seed=1, rate_per_second=RATE)
    with crew(settings, handled, tmp_path) as workers, ExitStack() as ends:
        ends.callback(load.stop)
        load.start()
        wait_until(lambda: done(handled) > 5, "the agents have begun")
        refused = load.publish_one("parcels", note(Doing.REFUSE_ONCE))
        strike(workers, 0, signal.SIGTERM, settings, handled)
        wait_until(lambda: READY in workers[0].said, "the one that was told to stop is replaced")
        strike(workers, 1, signal.SIGKILL, settings, handled)
        load.stop()
        wait_until(lambda: lag(settings, NAIVE) == 0, "the agents' group has nothing left to read", 60)
    verdict = judge(gather(settings, Published.read(published), Handled.read(handled)))
    parcels = {entry.id for entry in Published.read(published) if entry.stream == "parcels"}
    lost = set(verdict.lost) & parcels
    # It was handled, it raised, and its group went past it: the rig sees just what is promised not to happen.
    assert refused in lost
    assert len(lost) < len(parcels), "it does nothing at all"
    assert verdict.phantom == []


@contextmanager
def crew(settings: Settings, ledger: Path, folder: Path) -> Iterator[list[Program]]:
    """Two naive workers, ready; nothing of them is left after the block."""
    workers = [naive_worker(settings, ledger, folder / f"naive-{number}") for number in range(2)]
    try:
        for worker in workers:
            until_ready(worker)
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def strike(workers: list[Program], number: int, signum: signal.Signals, settings: Settings, ledger: Path) -> None:
    """End a worker, and start another in its place, as its machine's service manager would."""
    workers[number].end(signum, 20)
    workers[number] = naive_worker(settings, ledger, workers[number].output.parent)


def until_ready(worker: Program) -> None:
    wait_until(lambda: READY in worker.said or worker.process.poll() is not None, "a naive worker is ready")
    assert worker.process.poll() is None, worker.said[-3000:]


def done(ledger: Path) -> int:
    return sum(1 for entry in Handled.read(ledger) if entry.mark == "DONE")
