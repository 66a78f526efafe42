"""`python -m tests.crash.storm`: a storm on a stack of its own, and its report; 1 if a promise was broken."""

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

from tests.crash.report import write_page
from tests.crash.storm.course import Orders, Watcher, run
from tests.crash.storm.findings import report
from tests.crash.storm.ground import ground, machine, settings_for
from tests.crash.storm.nemeses import LEFT_OUT, NEMESES, chosen
from tests.crash.storm.promises import broken
from tests.crash.storm.summary import summary
from tests.crash.storm.watching import Progress

EXIT_BROKEN = 1
EXIT_USAGE = 2


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.storm",
        description="Break things while events flow, then look whether any promise was broken.",
        epilog="Nemeses: " + ", ".join(NEMESES),
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the storm (default: 120)")
    parser.add_argument("--seed", type=int, help="what is published and broken (default: by the clock)")
    parser.add_argument("--protocol", choices=("consumer", "classic"), default="consumer", help="of the groups")
    parser.add_argument("--rate", type=float, default=150.0, help="events per second (default: 150)")
    parser.add_argument("--brokers", type=int, default=3, help="Kafka brokers (default: 3)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes to begin with (default: 2)")
    parser.add_argument("--nemeses", default=",".join(NEMESES), help="names, comma-separated (default: all)")
    parser.add_argument("--keep", action="store_true", help="keep ledgers and logs also where all promises were held")
    parser.add_argument("--out", type=Path, help="folder of the report (default: storm-<seed>)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Let a storm pass, write its report, and tell what was broken; returns the exit status."""
    asked = options(arguments)
    seed: int = time.time_ns() % 1_000_000 if asked.seed is None else asked.seed
    out: Path = asked.out or Path(f"storm-{seed}")
    try:
        nemeses = chosen(filter(None, asked.nemeses.split(",")))
    except ValueError as error:
        sys.stderr.write(f"--nemeses: {error}\n")
        return EXIT_USAGE
    out.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "seed": seed,
        "seconds": asked.seconds,
        "protocol": asked.protocol,
        "brokers": asked.brokers,
        "rate_per_second": asked.rate,
        "workers": asked.workers,
        "nemeses": [nemesis.name for nemesis in nemeses],
        "left_out": LEFT_OUT,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(asked, seed),
    }
    orders = Orders(asked.seconds, seed, asked.rate, nemeses, asked.workers)
    folder = Path(tempfile.mkdtemp(prefix="tidemill-storm-"))
    try:
        with ground(folder, nemeses, brokers=asked.brokers) as stack, Progress(asked.seconds) as progress:
            settings = settings_for(stack, folder, namespace="storm.", protocol=asked.protocol)
            record = run(orders, stack, settings, folder, Watcher(progress.act, progress.sample))
            found, judged = report(record, {**about, "machine": machine()})
            faults = broken(judged)
            if faults or asked.keep:
                # To find out why: what each worker and broker said, and both ledgers.
                keep(folder, stack.log_dir, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (out / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(found, out / "report.html")
    sys.stdout.write(summary(found, judged))
    sys.stdout.write(f"Seed {seed}: {'broken' if faults else 'held'}. {out / 'report.html'}\n")
    return EXIT_BROKEN if faults else 0


def command(asked: argparse.Namespace, seed: int) -> str:
    """The command that lets the same storm pass again."""
    shown = {"seconds": f"{asked.seconds:g}", "seed": seed, "protocol": asked.protocol, "rate": f"{asked.rate:g}"}
    shown |= {"brokers": asked.brokers, "workers": asked.workers}
    if asked.nemeses != ",".join(NEMESES):
        shown["nemeses"] = asked.nemeses
    return "python -m tests.crash.storm " + " ".join(f"--{name} {value}" for name, value in shown.items())


def keep(folder: Path, log_dir: Path, out: Path) -> None:
    """Copy ledgers and logs beside the report."""
    for name in ("published", "handled"):
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)
    for worker in folder.glob("worker-*"):
        shutil.copytree(worker, out / worker.name, dirs_exist_ok=True)
    shutil.copytree(log_dir, out / "brokers", dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
