"""What an effect costs beside what it does: `python -m bench.effects`, on SQLite and on a Postgres of its own.

Each cost is that of two commits, the intent's and the result's, both flushed to the disk; so the disk's flush is
measured and shown beside. The effect itself does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.integration.postgres import programs, running_postgres
from tidemill.config import Settings, load_settings
from tidemill.event import Event, Position
from tidemill.runtime.effects.ledger import DatabaseLedger
from tidemill.runtime.effects.stream_effects import StreamEffects

AT_ONCE = (1, 64, 512)
SECONDS = 4.0


def event_of(number: int) -> Event[None]:
    """An event that no run has seen."""
    headers = [("ce_id", f"0199c1f0-6a2b-7c3d-8e4f-{number:012d}".encode())]
    return Event(None, key=None, headers=headers, position=Position("bench", 0, number, 0))


async def nothing() -> dict[str, str]:
    """An effect that does nothing, and returns what a mail server says."""
    return {"answer": "250 2.0.0 Ok: queued as 4XkWzM2vR1z7"}


async def rate(effects: StreamEffects, numbers: Iterator[int], at_once: int, seconds: float) -> tuple[float, float]:
    """Effects per second with so many at once, and the median of one in milliseconds."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def one_after_another() -> None:
        while (begun := time.perf_counter()) < until:
            event = event_of(next(numbers))
            await effects.once(event, "smtp", nothing, "again", remaining_seconds=None, used=set())
            times.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return len(times) / (time.perf_counter() - begun), statistics.median(times) * 1000


def flush_ms(folder: Path, times: int = 200) -> float:
    """Median of a small write and its flush to the disk, in milliseconds."""
    taken = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


@contextmanager
def ledgers(folder: Path) -> Iterator[dict[str, Settings]]:
    """Settings of an empty ledger of each kind."""
    found = {"SQLite": load_settings(state_dir=folder)}
    with ExitStack() as servers:
        if programs() is None:
            print("Postgres isn't installed, and not measured.")
        else:
            url = servers.enter_context(running_postgres(durable=True)).new_database()
            found["Postgres"] = load_settings(state_dir=folder, effects_url=SecretStr(url))
        yield found


def measured(settings: Settings, seconds: float) -> list[tuple[str, float, float]]:
    """What, per second, and milliseconds of one."""
    rows = []
    first = time.time_ns() % 10**9 * 1000

    def run(label: str, at_once: int, numbers: Iterator[int]) -> None:
        effects = StreamEffects("tidemill.bench", "async", DatabaseLedger(settings))
        try:
            per_second, ms = asyncio.run(rate(effects, numbers, at_once, seconds))
            rows.append((label, per_second, ms))
        finally:
            effects.close(10)

    for place, at_once in enumerate(AT_ONCE):
        run(f"{at_once} at once", at_once, count(first + place * 10**7))
    # Those that the first run has surely done, over and over.
    for at_once in AT_ONCE[:2]:
        run(f"{at_once} at once, done before", at_once, cycle(range(first, first + 200)))
    return rows


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per measurement")
    seconds: float = parser.parse_args().seconds
    say: Callable[[Any], None] = print
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"a flush to the disk: {flush_ms(folder):.2f} ms\n")
        say("| ledger | effects | per second | ms of one (median) |\n|---|---|---|---|")
        with ledgers(folder) as found:
            for ledger, settings in found.items():
                for label, per_second, ms in measured(settings, seconds):
                    say(f"| {ledger} | {label} | {per_second:,.0f} | {ms:.1f} |")


if __name__ == "__main__":
    main()
