"""What a large upload and a thousand event streams cost a gateway: `python -m tests.crash.gateway_load`.

Starts `tidemill gateway` as a process with a table of jobs, and no Kafka: neither asks for one. Watches its memory
while a film comes in, whole and cut off, and while a thousand readers follow a thousand jobs until all of them end.
Prints a table; exit status 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, update

from tidemill.config import load_settings
from tidemill.jobs.database import Database
from tidemill.jobs.tables import EVENTS, JOBS
from tidemill.local import ports

PROGRAM = "import typer; from producers.gateway.command import register; app = typer.Typer(); register(app); app()"
PIECE_BYTES = 1_048_576
HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"
START_SECONDS = 30.0
END_SECONDS = 60.0
WATCH_SECONDS = 10.0


class Memory:
    """The memory of a process within a block: at its beginning and the most of it.

    Args:
        process: Whose.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.first = self.most = process.memory_info().rss

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"{self.first / 1e6:,.0f} MB before, {self.most / 1e6:,.0f} MB at most"


@contextmanager
def gateway_process(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """`tidemill gateway` without tokens; gives its port and its process."""
    port, nobody = ports.any_free(2)
    environment = {
        **os.environ,
        "TIDEMILL_STATE_DIR": str(folder),
        "TIDEMILL_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "TIDEMILL_LOG_LEVEL": "error",
        "TIDEMILL_GATEWAY_ACCESS_LOG": "false",
    }
    program = [sys.executable, "-c", PROGRAM, "gateway", "--open", "--port", str(port)]
    with (folder / "gateway.log").open("wb") as log:
        started = subprocess.Popen(program, env=environment, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                asked(port, "/healthz")
                break
            assert started.poll() is None, (folder / "gateway.log").read_text()
            assert time.monotonic() < deadline, "the gateway didn't start in time"
            time.sleep(0.05)
        yield port, psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(30)


def asked(port: int, path: str) -> str:
    """What is answered to a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def pieces(size_bytes: int) -> Iterator[bytes]:
    """A film of so many bytes, no two megabytes alike."""
    sent = 0
    noise = os.urandom(PIECE_BYTES)
    while sent < size_bytes:
        start = HEAD if not sent else sent.to_bytes(8)
        piece = (start + noise[len(start) :])[: size_bytes - sent]
        yield piece
        sent += len(piece)


def upload(port: int, size_bytes: int, cut_after: int | None = None) -> tuple[int, str]:
    """Send a film; status and answer, or 0 where it was cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.putrequest("POST", "/uploads?name=film.mp4")
        connection.putheader("Content-Length", str(size_bytes))
        connection.endheaders()
        sent, digest = 0, hashlib.sha256()
        for piece in pieces(size_bytes):
            connection.send(piece)
            sent += len(piece)
            digest.update(piece)
            if cut_after is not None and sent >= cut_after:
                return 0, ""
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status, "the same SHA-256" if answer.get("sha256") == digest.hexdigest() else str(answer)
    finally:
        connection.close()


def files(folder: Path) -> int:
    """How many files there are of uploads."""
    return sum(path.is_file() for part in ("objects", "spool") for path in (folder / part).rglob("*"))


def begin_jobs(database: Database, count: int) -> list[str]:
    """Put so many queued jobs into the table, as the tracker does."""
    ids = [f"0199c1f0-0000-7000-8000-{number:012d}" for number in range(count)]
    now = round(datetime.now(UTC).timestamp() * 1000)
    common = {"type": "image.requested", "state": "queued", "created_ms": now, "updated_ms": now}
    with database.writing() as connection:
        connection.execute(insert(JOBS), [{"job_id": each, "events": 1, "finished": 0, **common} for each in ids])
        connection.execute(
            insert(EVENTS), [{"job_id": each, "event_id": each, "facts": "{}", **common} for each in ids]
        )
    return ids


def end_jobs(database: Database) -> None:
    """All of them are done."""
    now = round(datetime.now(UTC).timestamp() * 1000) + 1
    with database.writing() as connection:
        connection.execute(update(JOBS).values(state="done", finished=1, updated_ms=now))
        connection.execute(update(EVENTS).values(state="done", updated_ms=now, detail='{"stream": "image"}'))


def looks(port: int) -> float:
    """How often the gateway has asked the table for all who follow jobs."""
    found = re.search(r"^tidemill_gateway_job_looks_total (\S+)", asked(port, "/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def follow(port: int, job: str, began: asyncio.Queue[str], ended: list[float]) -> None:
    """One reader: until the stream ends; says when it was told of the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while line := await reader.readline():
        if line.startswith(b"event: state"):
            began.put_nowait(job)
        elif line.startswith(b"event: done"):
            ended.append(time.monotonic())
        elif line == b"0\r\n":  # the last chunk
            break
    writer.close()


async def follow_all(port: int, database: Database, jobs: list[str], process: psutil.Process) -> tuple[str, bool]:
    """So many readers; what is to be said of them, and whether it is right."""
    began: asyncio.Queue[str] = asyncio.Queue()
    ended: list[float] = []
    with Memory(process) as memory:
        started = time.monotonic()
        readers = [asyncio.create_task(follow(port, job, began, ended)) for job in jobs]
        async with asyncio.timeout(END_SECONDS):
            for _ in jobs:
                await began.get()
        opened = time.monotonic() - started
        open_bytes = process.memory_info().rss
        before, cpu = await asyncio.to_thread(looks, port), process.cpu_times()
        await asyncio.sleep(WATCH_SECONDS)
        rate = (await asyncio.to_thread(looks, port) - before) / WATCH_SECONDS
        spent = sum(process.cpu_times()[:2]) - sum(cpu[:2])
        await asyncio.to_thread(end_jobs, database)
        told = time.monotonic()
        async with asyncio.timeout(END_SECONDS):
            await asyncio.gather(*readers, return_exceptions=True)
    last = max(ended, default=told) - told
    each = (open_bytes - memory.first) / len(jobs) / 1000
    said = (
        f"{memory}, {each:,.0f} kB each; all told of their state after {opened:,.1f} s; {rate:.1f} queries/s and "
        f"{spent / WATCH_SECONDS:.0%} of a processor for all; {len(ended):,} told of the end within {last:.1f} s"
    )
    return said, len(ended) == len(jobs) and rate < 5


def main() -> int:
    """Run all; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2_000_000_000, help="Size of the film.  [default: 2,000,000,000]")
    parser.add_argument("--streams", type=int, default=1_000, help="How many streams.  [default: 1,000]")
    chosen = parser.parse_args()
    table = Table("what", "what came of it", "", title="A gateway under load")
    wrong = 0

    def row(what: str, said: str, *, right: bool) -> None:
        nonlocal wrong
        wrong += not right
        table.add_row(what, said, "[green]✓[/]" if right else "[red]✗[/]")

    with tempfile.TemporaryDirectory() as name, gateway_process(Path(name)) as (port, process):
        folder = Path(name)
        upload(port, 5_000_000)
        with Memory(process) as memory:
            upload(port, chosen.bytes, cut_after=chosen.bytes // 2)
            deadline = time.monotonic() + END_SECONDS
            while process.num_fds() > 64 and time.monotonic() < deadline:
                time.sleep(0.05)
        left = files(folder)
        row(
            f"{chosen.bytes / 2e9:g} GB, then cut off",
            f"{memory}; {left} file is there, the first one's",
            right=left == 1,
        )
        began = time.monotonic()
        with Memory(process) as memory:
            status, answer = upload(port, chosen.bytes)
        seconds = time.monotonic() - began
        row(
            f"{chosen.bytes / 1e9:g} GB uploaded",
            f"{status} after {seconds:,.1f} s ({chosen.bytes / seconds / 1e6:,.0f} MB/s); {memory}; {answer}",
            right=status == 201
            and answer == "the same SHA-256"
            and memory.most - memory.first < 50e6
            and files(folder) == 2,
        )
        database = Database(load_settings(state_dir=folder))
        jobs = begin_jobs(database, chosen.streams)
        said, right = asyncio.run(follow_all(port, database, jobs, process))
        database.close()
        row(f"{chosen.streams:,} event streams of as many jobs", said, right=right)
    Console(width=150).print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
