"""A worker that stood still for longer than its group waits: it lost its partitions, and learns so when it wakes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.steps import StepAsked
from tests.integration.stream_samples import ledger
from tests.integration.worker_program import Program, noted, worker_process
from tests.integration.working import ASKED, committed, ends, prepare, publish, wait_until
from tidemill.config import Settings

LEDGER = "tests.integration.stream_samples:ledger"
LANES = 10
EACH = 30


class Pair:
    """Two workers of one group: one that is stopped, and one that takes over.

    Args:
        settings: With a namespace of their own.
        folder: For their ledgers.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.slept, self.awake = folder / "slept", folder / "awake"
        self.slept.mkdir(parents=True)
        self.awake.mkdir()
        self.sleeper: Program
        self.other: Program

    def publish(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        publish(
            self.settings, [StepAsked(lane=f"{lane}", number=n, note="25") for n in numbers for lane in range(LANES)]
        )

    def start_and_stop_one(self, programs: ExitStack) -> None:
        """The first worker is stopped in the middle of its work, and the second one started."""
        prepare(self.settings)
        self.publish(0, EACH)
        self.sleeper = programs.enter_context(worker_process(self.settings, self.slept, LEDGER))
        wait_until(lambda: len(noted(self.slept, "DONE")) > LANES, "the first worker is at work")
        self.sleeper.process.send_signal(signal.SIGSTOP)
        self.other = programs.enter_context(worker_process(self.settings, self.awake, LEDGER))

    def wait_until_all_is_committed(self) -> None:
        wait_until(lambda: self.is_all_committed, f"all is done and committed ({self.settings.group_protocol})")

    @property
    def is_all_committed(self) -> bool:
        return committed(self.settings, ledger) == {k: end for k, end in ends(self.settings, ASKED).items() if end}


@pytest.fixture
def pairs(settings: Settings, tmp_path: Path) -> Iterator[list[Pair]]:
    """A pair for each protocol: the time until a group gives up on a worker passes for both at once."""
    with ExitStack() as programs:
        found = []
        for protocol in ("consumer", "classic"):
            own = {"group_protocol": protocol, "namespace": f"{settings.namespace}{protocol}."}
            found.append(Pair(settings.model_copy(update=own), tmp_path / protocol))
        for pair in found:
            pair.start_and_stop_one(programs)
        yield found


def test_a_worker_that_lost_its_partitions_commits_nothing_of_them_and_goes_on_with_what_it_is_given(
    pairs: list[Pair],
) -> None:
    for pair in pairs:
        pair.wait_until_all_is_committed()
        assert len(noted(pair.awake, "DONE")) > LANES
        pair.sleeper.process.send_signal(signal.SIGCONT)
    started = {}
    for pair in pairs:
        pair.sleeper.wait_for("lost")
        started[pair] = len(noted(pair.slept, "START"))
    for pair in pairs:
        pair.sleeper.wait_for("assigned", 2)
        assert pair.is_all_committed
        assert pair.other.end() == 0
        pair.publish(EACH, 3)
    for pair in pairs:
        pair.wait_until_all_is_committed()
        assert pair.sleeper.end() == 0
        assert len({*noted(pair.slept, "DONE"), *noted(pair.awake, "DONE")}) == LANES * (EACH + 3)
        # Of what it had in hand nothing was started any more once it knew.
        assert {number for _, number in noted(pair.slept, "START")[started[pair] :]} == {EACH, EACH + 1, EACH + 2}
        (lost,) = pair.sleeper.logged("lost")
        assert lost["partitions"] == [0, 1, 2, 3]
        assert [entry for entry in pair.sleeper.log if entry["level"] in ("error", "critical")] == []
