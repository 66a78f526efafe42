"""`python -m tests.crash.clock.ticks_storm`: a storm on schedulers, and its report; 1 if a promise was broken.

With `--naive` the negative control runs in it: then 1 if it got everything right, since the storm would be blind.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.crash.clock.ticks_course import Orders, Record, run
from tests.crash.clock.ticks_report import report, summary
from tests.crash.storm.ground import ground, machine, settings_for
from tests.crash.storm.promises import Promise, broken

COSTLY = ("lost", "doubled")
"""Findings of which the negative control must break one."""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.clock.ticks_storm",
        description="Strike schedulers while jobs of every second tick, then look whether each second is there once.",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the storm (default: 600)")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of every second (default: 200)")
    parser.add_argument("--seed", type=int, help="what is struck (default: by the clock)")
    parser.add_argument("--brokers", type=int, default=3, help="Kafka brokers; one of several is killed (default: 3)")
    parser.add_argument("--naive", action="store_true", help="the negative control: no transactions, no fencing")
    parser.add_argument("--keep", action="store_true", help="keep the logs also where all promises were held")
    parser.add_argument("--out", type=Path, help="folder of the report (default: ticks-storm-<seed>)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Let a storm pass, write its report, and tell what was broken; returns the exit status."""
    asked = options(arguments)
    seed: int = time.time_ns() % 1_000_000 if asked.seed is None else asked.seed
    out: Path = asked.out or Path(f"ticks-storm-{seed}")
    out.mkdir(parents=True, exist_ok=True)
    orders = Orders(
        asked.seconds,
        asked.jobs,
        seed,
        broker_seconds=Orders.broker_seconds if asked.brokers > 1 else None,
        is_naive=asked.naive,
    )
    about: dict[str, Any] = {
        "seed": seed,
        "seconds": asked.seconds,
        "brokers": asked.brokers,
        "naive": asked.naive,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder = Path(tempfile.mkdtemp(prefix="tidemill-ticks-"))
    try:
        with ground(folder, [], brokers=asked.brokers) as stack:
            settings = settings_for(stack, folder, namespace="ticks.", protocol="consumer")
            record = run(orders, stack, settings, folder / "course", _note)
            found, promises = report(record, {**about, "machine": machine()})
            if broken(promises) or asked.keep:
                shutil.copytree(folder / "course", out / "course", dirs_exist_ok=True)
                shutil.copytree(stack.log_dir, out / "brokers", dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (out / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(summary(found, promises))
    return _tell(record, promises, seed, is_naive=asked.naive)


def _tell(record: Record, promises: Sequence[Promise], seed: int, *, is_naive: bool) -> int:
    if is_naive:
        costs = [promise for promise in promises if promise.name in COSTLY and not promise.held]
        word = "the storm costs the naive scheduler ticks" if costs else "the storm is blind"
        sys.stdout.write(f"Seed {seed}, negative control, {len(record.strikes)} strikes: {word}.\n")
        return 0 if costs else 1
    faults = broken(promises)
    sys.stdout.write(f"Seed {seed}, {len(record.strikes)} strikes: {'broken' if faults else 'held'}.\n")
    return 1 if faults else 0


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
