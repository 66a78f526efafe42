"""How many events a second the HTTP gateway takes: `python -m bench.gateway [--seconds 5] [--json FILE]`.

64 connections of a separate process send single events, then batches of 1,000 lines, to `tidemill gateway` with two
workers before a Kafka; beside it FastAPI that calls Celery's `delay()` on Redis (needs `make .venv-peers/.installed`).
Everything shares this machine's processors, the load client and the brokers included.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.machine import machine_facts
from bench.redis_server import installed, redis_server
from bench.sample import request
from tests.crash.storm.ground import ground, settings_for
from tests.integration.gateway_running import new_tokens
from tests.integration.working import prepare
from tidemill.events import ImageRequested
from tidemill.local import ports

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin"
ROUNDS = 3
CONNECTIONS = 64
BATCH = 1_000
BATCH_CONNECTIONS = 8
PATH = "/events/image.requested"
PROGRAM = "import typer; from producers.gateway.command import register; app = typer.Typer(); register(app); app()"


@contextmanager
def program(
    command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """A program that serves a port, for the time of the block."""
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"it doesn't answer: {(folder / f'{port}.log').read_text()[-2000:]}") from None
                time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(40)


def cpu_seconds(root: psutil.Process) -> float:
    """User and system time of a program and its children."""
    return sum(sum(each.cpu_times()[:2]) for each in [root, *root.children(recursive=True)])


def load(folder: Path, port: int, root: psutil.Process, **order: Any) -> dict[str, Any]:
    """One course of the load client, and the processor time that the program took for it."""
    file = folder / "order.json"
    file.write_text(json.dumps({"port": port, "path": PATH, **order}), encoding="utf-8")
    before = cpu_seconds(root)
    said = subprocess.run(
        [sys.executable, "-m", "bench.http_load", str(file)], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    found: dict[str, Any] = json.loads(said)
    found["cpu_seconds"] = cpu_seconds(root) - before
    return found


def figures(name: str, courses: list[dict[str, Any]], events: str) -> dict[str, Any]:
    """What is shown of the courses of one contender."""
    return {
        "name": name,
        "events_per_second": statistics.median(each[events] / each["seconds"] for each in courses),
        "p50_ms": statistics.median(each["p50_ms"] for each in courses),
        "p99_ms": statistics.median(each["p99_ms"] for each in courses),
        "cpu_us_per_event": statistics.median(1e6 * each["cpu_seconds"] / max(1, each[events]) for each in courses),
        "statuses": [each["statuses"] for each in courses],
        "courses": courses,
    }


def main() -> None:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each course; there are three of each")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    events = [json.dumps(request(number, timed=False)) for number in range(BATCH)]
    results = []
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="bench.", protocol="consumer")
            prepare(settings, ImageRequested)
            (token,) = new_tokens(settings, bench={"publish": ["image.*"]}).values()
            (port,) = ports.any_free(1)
            environment = {
                "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
                "TIDEMILL_REGISTRY_URL": settings.registry_url,
                "TIDEMILL_NAMESPACE": settings.namespace,
                "TIDEMILL_STATE_DIR": str(settings.state_dir),
                "TIDEMILL_GATEWAY_ACCESS_LOG": "false",
            }
            command = [sys.executable, "-c", PROGRAM, "gateway", "--port", str(port), "--workers", "2"]
            with program(command, port, folder, environment) as root:
                bearer = {"Authorization": f"Bearer {token}"}
                single = {**bearer, "Content-Type": "application/json"}
                lines = {**bearer, "Content-Type": "application/x-ndjson"}
                course: dict[str, Any] = {"seconds": options.seconds, "connections": CONNECTIONS}
                batches = {**course, "connections": BATCH_CONNECTIONS, "bodies": ["\n".join(events)], "headers": lines}
                load(folder, port, root, **{**course, "seconds": 1}, bodies=events, headers=single)  # warm
                ones = [load(folder, port, root, **course, bodies=events, headers=single) for _ in range(ROUNDS)]
                many = [load(folder, port, root, **batches) for _ in range(ROUNDS)]
            results.append(figures("gateway, single events", ones, "answers"))
            results.append(figures(f"gateway, batches of {BATCH:,} lines", many, "accepted"))
        if installed() and (PEERS / "uvicorn").exists():
            with redis_server(folder) as redis:
                (port,) = ports.any_free(1)
                command = [str(PEERS / "python"), "-m", "uvicorn", "bench.contenders.fastapi_celery:app"]
                command += ["--port", str(port), "--workers", "2", "--no-access-log", "--http", "httptools"]
                with program(command, port, folder, {"BENCH_REDIS": redis.url}) as root:
                    json_headers = {"Content-Type": "application/json"}
                    load(folder, port, root, **{**course, "seconds": 1}, bodies=events, headers=json_headers)
                    peers = [
                        load(folder, port, root, **course, bodies=events, headers=json_headers) for _ in range(ROUNDS)
                    ]
                results.append(figures("FastAPI + Celery on Redis, single", peers, "answers"))
    show(results)
    if options.json is not None:
        facts = machine_facts()
        options.json.write_text(json.dumps({"machine": facts, "results": results}, indent=2), encoding="utf-8")


def show(results: list[dict[str, Any]]) -> None:
    """The table."""
    table = Table(title=f"Events over HTTP, median of {ROUNDS}", header_style="bold")
    for heading in ("", "events/s", "p50 ms", "p99 ms", "processor µs/event", "statuses"):
        table.add_column(heading, justify="left" if heading in ("", "statuses") else "right")
    for each in results:
        statuses = sorted({status for found in each["statuses"] for status in found})
        table.add_row(
            each["name"],
            f"{each['events_per_second']:,.0f}",
            f"{each['p50_ms']:.1f}",
            f"{each['p99_ms']:.1f}",
            f"{each['cpu_us_per_event']:.0f}",
            " ".join(statuses),
        )
    Console(width=120).print(table)
    print(f"load average {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
