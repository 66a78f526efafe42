"""`python -m tests.crash.clock.delays_storm`: a storm on schedulers while events fall due; 1 if a promise was broken.

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
from pathlib import Path
from typing import Any

from tests.crash.clock.delays_checker import Verdict, judge
from tests.crash.clock.delays_course import Orders, Record, run
from tests.crash.clock.ticks_outages import percentile
from tests.crash.storm.ground import ground, machine, settings_for


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.clock.delays_storm",
        description="Strike schedulers while delayed events fall due, then look whether each is there exactly once.",
    )
    parser.add_argument("--events", type=int, default=100_000, help="how many wait (default: 100000)")
    parser.add_argument("--spread", type=float, default=300.0, help="seconds over which they are due (default: 300)")
    parser.add_argument("--seed", type=int, help="what is struck (default: by the clock)")
    parser.add_argument("--brokers", type=int, default=3, help="Kafka brokers; one of several is killed (default: 3)")
    parser.add_argument("--naive", action="store_true", help="the negative control: no transactions, no fencing")
    parser.add_argument("--out", type=Path, help="folder of the report (default: delays-storm-<seed>)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Let a storm pass, write its report, and tell what was broken; returns the exit status."""
    asked = options(arguments)
    seed: int = time.time_ns() % 1_000_000 if asked.seed is None else asked.seed
    out: Path = asked.out or Path(f"delays-storm-{seed}")
    out.mkdir(parents=True, exist_ok=True)
    broker_seconds = Orders.broker_seconds if asked.brokers > 1 else None
    orders = Orders(asked.events, asked.spread, seed, broker_seconds=broker_seconds, is_naive=asked.naive)
    folder = Path(tempfile.mkdtemp(prefix="tidemill-delays-storm-"))
    try:
        with ground(folder, [], brokers=asked.brokers) as stack:
            settings = settings_for(stack, folder, namespace="storm.", protocol="consumer")
            record = run(orders, stack, settings, folder / "schedulers", _say)
            verdict = judge(record.published, record.seen)
            is_well = verdict.is_right and not record.fallen
            if not is_well:
                shutil.copytree(folder / "schedulers", out / "schedulers", dirs_exist_ok=True)
                shutil.copytree(stack.log_dir, out / "brokers", dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = report(orders, record, verdict, asked.brokers)
    (out / "report.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    _say(verdict.summary)
    for line in record.fallen:
        _say(line)
    if asked.naive:
        _say(f"Seed {seed}: the negative control {'got all right, the storm is blind' if is_well else 'failed'}.")
        return int(is_well)
    _say(f"Seed {seed}: {'held' if is_well else 'broken'}. {out / 'report.json'}")
    return int(not is_well)


def report(orders: Orders, record: Record, verdict: Verdict, brokers: int) -> dict[str, Any]:
    """All figures, as JSON data."""
    late = verdict.lateness_seconds
    return {
        "events": orders.events,
        "spread_seconds": orders.spread_seconds,
        "seed": orders.seed,
        "brokers": brokers,
        "naive": orders.is_naive,
        "found": {name: getattr(verdict, name)[:100] for name in ("lost", "doubled", "early", "changed", "phantom")},
        "counts": {name: len(getattr(verdict, name)) for name in ("lost", "doubled", "early", "changed", "phantom")},
        "fallen": record.fallen,
        "lateness_ms": {
            f"p{share * 100:g}": round(percentile(late, share) * 1000, 1) for share in (0.5, 0.9, 0.99, 0.999, 1.0)
        },
        "longest_gap_seconds": round(verdict.longest_gap_seconds, 2),
        "strikes": [
            {"how": each.how, "victim": each.victim, "seconds": round(each.end_seconds - each.start_seconds, 1)}
            for each in record.strikes
        ],
        "machine": machine(),
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
