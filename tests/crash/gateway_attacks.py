"""Attacks on a gateway with a real Kafka behind it: `python -m tests.crash.gateway_attacks`.

Starts a stack and `tidemill gateway` as a process, runs every case of `gateway_cases`, opens a thousand event streams,
stops the broker under a flood of events, and prints a table: what was done, what came back, whether that is right, and
the memory that the gateway had then. Exit status 1 if anything was wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.crash.gateway_cases import BODY, CASES, Outcome, Target, head, post
from tests.crash.storm.ground import ground, settings_for
from tests.integration.gateway_running import new_tokens
from tidemill.config import Settings
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.errors import BrokerError
from tidemill.jobs.database import Database
from tidemill.jobs.tables import EVENTS, JOBS
from tidemill.local import Stack, ports
from tidemill.local.broker import Broker
from tidemill.topics import apply, house_topics

PROGRAM = "import typer; from producers.gateway.command import register; app = typer.Typer(); register(app); app()"
STREAMS = 1_000
FLOOD_THREADS = 200
ACKNOWLEDGE_SECONDS = 4.0
LIMITS: dict[str, Any] = {"body_bytes": 1_000_000, "header_bytes": 32_768, "header_seconds": 2.0, "body_seconds": 2.0}


@contextmanager
def gateway_process(settings: Settings, folder: Path, **variables: str) -> Iterator[tuple[int, psutil.Process]]:
    """`tidemill gateway` as people run it, with further variables; gives its port and its process."""
    (port,) = ports.any_free(1)
    environment = {
        **os.environ,
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_GATEWAY_ACKNOWLEDGE_SECONDS": str(ACKNOWLEDGE_SECONDS),
        "TIDEMILL_GATEWAY_WAITING_BYTES": "32000000",
        **{f"TIDEMILL_GATEWAY_{name.upper()}": str(value) for name, value in LIMITS.items()},
        **variables,
    }
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "gateway", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                if post(_target(port, {"good": "x"})).status == 401:
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gateway doesn't answer:\n{(folder / 'gateway.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _target(port: int, tokens: dict[str, str]) -> Target:
    return Target(port=port, tokens=tokens, **LIMITS)


def rss_mb(process: psutil.Process) -> float:
    """Resident memory, MB."""
    return float(process.memory_info().rss) / 1e6


def prepare_everything(settings: Settings) -> None:
    """The topics and schemas of all contracts; a broker that has just begun may not lead all of them at once."""
    contracts = [cls.__contract__ for cls in installed_events()]
    deadline = time.monotonic() + 60
    while True:
        try:
            apply(settings, contracts, house=house_topics())
            break
        except BrokerError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(1)
    with Registry(settings) as registry:
        register_contracts(registry, contracts, dry_run=False)


class Board:
    """The table that is printed at the end.

    Args:
        process: Whose memory is shown.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.wrong = 0
        self.table = Table(title="Attacks on the gateway", header_style="bold")
        for name in ("attack", "status", "", "seconds", "MB", "answer"):
            self.table.add_column(name, overflow="fold", no_wrap=name == "status")

    def add(self, name: str, outcome: Outcome, *, right: bool) -> None:
        """A line."""
        self.wrong += not right
        try:
            shown = json.loads(outcome.text).get("detail") or outcome.text
        except (ValueError, AttributeError):
            shown = outcome.text
        self.table.add_row(
            name,
            str(outcome.status or "closed"),
            "[green]✓[/]" if right else "[red]✗[/]",
            f"{outcome.seconds:.2f}",
            f"{rss_mb(self._process):.0f}",
            shown[:110],
        )


@contextmanager
def paused(broker: Broker) -> Iterator[None]:
    """A broker that stands still for the time of the block."""
    broker.pause()
    try:
        yield
    finally:
        broker.resume()


def flood_while_the_broker_is_paused(stack: Stack, target: Target, board: Board) -> None:
    """Large events from many connections while Kafka doesn't answer: refused in time, and memory stays where it was."""
    body = json.dumps(
        {"source": "file:///" + "x" * 9_000, "renditions": [{"name": "n" * 400_000, "width": 1}]}
    ).encode()
    statuses: Counter[int] = Counter()
    slowest = [0.0]
    most = [0.0]
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            outcome = post(target, body)
            statuses[outcome.status] += 1
            slowest[0] = max(slowest[0], outcome.seconds)
            if outcome.status == 503:
                time.sleep(0.05)

    def watch() -> None:
        while not over.wait(0.2):
            most[0] = max(most[0], rss_mb(board._process))

    before = rss_mb(board._process)
    threads = [threading.Thread(target=flood) for _ in range(FLOOD_THREADS)] + [threading.Thread(target=watch)]
    with paused(stack.broker(1)):
        single = post(target, BODY, "Idempotency-Key: flood")
        board.add(
            "one event, Kafka paused", single, right=single.status == 503 and single.seconds < 2 * ACKNOWLEDGE_SECONDS
        )
        for thread in threads:
            thread.start()
        time.sleep(20)
        over.set()
        for thread in threads:
            thread.join()
    told = (
        f"{sum(statuses.values())} events of 409 KB: {dict(statuses)}; {before:.0f} MB before, at most {most[0]:.0f} MB"
    )
    right = set(statuses) <= {503} and slowest[0] < 3 * ACKNOWLEDGE_SECONDS and most[0] < before + 200
    board.add(
        f"a flood for 20 s, Kafka paused, {FLOOD_THREADS} connections", Outcome(503, told, slowest[0]), right=right
    )
    deadline = time.monotonic() + 30
    while (again := post(target, BODY, "Idempotency-Key: flood")).status != 202 and time.monotonic() < deadline:
        time.sleep(0.5)
    board.add("the same event again, Kafka back", again, right=again.status == 202)


def many_streams(settings: Settings, target: Target, board: Board) -> None:
    """A thousand open event streams of one job, and an event beside them."""
    with Database(settings).writing() as connection:
        times = {"created_ms": 1_796_000_000_000, "updated_ms": 1_796_000_000_000}
        connection.execute(
            JOBS.insert().values(job_id="j", state="running", type="image.requested", events=1, finished=0, **times)
        )
        connection.execute(
            EVENTS.insert().values(
                event_id="j", job_id="j", type="image.requested", state="running", facts="{}", **times
            )
        )
    asked = head(target, "Accept: text/event-stream", method="GET", path="/jobs/j/events", media_type=None)
    streams = []
    began = time.monotonic()
    try:
        for _ in range(STREAMS):
            stream = socket.create_connection(("127.0.0.1", target.port), timeout=30)
            stream.sendall(asked)
            streams.append(stream)
        first = [stream.recv(4_000) for stream in streams]
        answered = sum(b" 200 " in each[:20] for each in first)
        seconds = time.monotonic() - began
        board.add(
            f"{STREAMS:,} event streams", Outcome(200, f"{answered} are open", seconds), right=answered == STREAMS
        )
        beside = post(target)
        board.add("an event beside them", beside, right=beside.status == 202)
        more = socket.create_connection(("127.0.0.1", target.port), timeout=30)
        streams.append(more)
        more.sendall(asked)
        refused = more.recv(4_000).decode()
        board.add(
            "one more than a token may have",
            Outcome(int(refused[9:12]), refused.rpartition("\r\n\r\n")[2]),
            right=" 429 " in refused[:20],
        )
    finally:
        for stream in streams:
            stream.close()


def main() -> None:
    """Attack."""
    console = Console(width=150)
    with tempfile.TemporaryDirectory(prefix="tidemill-attacks-") as name, ground(Path(name), [], brokers=1) as stack:
        settings = settings_for(stack, Path(name), namespace="attack.", protocol="consumer")
        prepare_everything(settings)
        tokens = new_tokens(
            settings,
            good={"publish": ["*"], "read_jobs": True},
            expired={"publish": ["*"], "expires": "1s", "ago": timedelta(days=9)},
            revoked={"publish": ["*"], "revoke": True},
            mails={"publish": ["email.requested"]},
            slow={"publish": ["*"], "rate": 0.01, "burst": 2.0},
        )
        with gateway_process(settings, Path(name)) as (port, process):
            target = _target(port, tokens)
            board = Board(process)
            honest = post(target)
            board.add("an honest request", honest, right=honest.status == 202)
            for case in CASES:
                outcome = case.run(target)
                board.add(case.name, outcome, right=outcome.status in case.expected)
            many_streams(settings, target, board)
            flood_while_the_broker_is_paused(stack, target, board)
            last = post(target)
            board.add("an honest request, after all that", last, right=last.status == 202)
    console.print(board.table)
    console.print(f"{board.table.row_count} attacks and checks, {board.wrong} of them answered wrongly")
    sys.exit(1 if board.wrong else 0)


if __name__ == "__main__":
    main()
