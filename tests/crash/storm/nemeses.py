"""The registry of nemeses: all ways to break something that a storm may draw here.

Those that need more than this machine gives (root, a file system in memory) are in `LEFT_OUT`, each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.crash import surroundings
from tests.crash.storm import nemeses_brokers, nemeses_handlers, nemeses_workers
from tests.crash.storm.field import Nemesis

WORKER_SECONDS = 5.0
"""Longest stall that is promised while workers are struck."""
BROKER_SECONDS = 15.0
"""Longest stall that is promised while one broker of three is lost."""

WORKERS = (
    Nemesis("kill-worker", 3, nemeses_workers.kill, WORKER_SECONDS),
    Nemesis("term-worker", 2, nemeses_workers.term, WORKER_SECONDS),
    Nemesis("pause-worker", 2, nemeses_workers.pause, WORKER_SECONDS),
    Nemesis("scale-workers", 1, nemeses_workers.scale, WORKER_SECONDS),
    Nemesis("roll-workers", 1, nemeses_workers.roll, WORKER_SECONDS),
)
HANDLERS = (
    Nemesis("hang", 1, nemeses_handlers.hang, WORKER_SECONDS),
    Nemesis("swallow-cancellation", 1, nemeses_handlers.swallow_cancellation, WORKER_SECONDS),
    Nemesis("kill-itself", 1, nemeses_handlers.die, WORKER_SECONDS),
    Nemesis("eat-memory", 1, nemeses_handlers.eat_memory, WORKER_SECONDS),
)
BROKERS = (
    Nemesis("kill-broker", 2, nemeses_brokers.kill, BROKER_SECONDS),
    Nemesis("restart-broker", 1, nemeses_brokers.restart, BROKER_SECONDS),
    Nemesis("pause-broker", 1, nemeses_brokers.pause, BROKER_SECONDS),
    Nemesis("roll-brokers", 1, nemeses_brokers.roll, BROKER_SECONDS),
)

NEMESES: dict[str, Nemesis] = {
    **{nemesis.name: nemesis for nemesis in (*WORKERS, *HANDLERS, *BROKERS)},
    **surroundings.NEMESES,
}
LEFT_OUT: dict[str, str] = surroundings.LEFT_OUT


def chosen(names: Iterable[str]) -> list[Nemesis]:
    """The nemeses of these names.

    Raises:
        ValueError: There is none of a name, or it can't act on this machine.
    """
    names = list(names)
    for name in names:
        if name in LEFT_OUT:
            raise ValueError(f"{name} can't act here: {LEFT_OUT[name]}")
        if name not in NEMESES:
            raise ValueError(f"no nemesis is named {name!r}; there are {', '.join(NEMESES)}")
    return [NEMESES[name] for name in names]
