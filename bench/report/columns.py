"""What contenders are compared by: where each number is, its unit, and whether more of it is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One way to compare.

    Args:
        measurement: Which.
        name: Of the figure.
        heading: For people.
        unit: For people.
        more_is_better: Or less.
    """

    measurement: str
    name: str
    heading: str
    unit: str
    more_is_better: bool = False


PUBLISH = Column("publish", "publish", "publish", "events/s", True)
NO_OP = Column("drain", "no-op", "no-op handler", "events/s", True)
WAITING = Column("drain", "10 ms of waiting", "10 ms handler", "events/s", True)
CPU = Column("drain", "no-op, CPU per event", "CPU per event", "µs")
START = Column("start", "start to first event", "start to first event", "s")
MEMORY = Column("start", "memory, idle", "idle memory", "MB")
IMPORT = Column("imports", "import", "import", "ms")


def latency(rate: int, share: str) -> Column:
    """The column of a rate's p50 or p99."""
    return Column("latency", f"latency at {rate}/s, {share}", f"{share} at {rate:,}/s", "ms")


LATENCIES = tuple(latency(rate, share) for rate in (200, 2000) for share in ("p50", "p99"))
ALL = (PUBLISH, NO_OP, WAITING, CPU, *LATENCIES, START, MEMORY, IMPORT)
