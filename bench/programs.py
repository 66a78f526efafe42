"""Starting what is measured in processes of its own, and waiting for its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidemill.config import Settings
from tidemill.runtime.orders import Orders

ROOT = Path(__file__).parent.parent


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a measured program."""
    return {
        **os.environ,
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_STORE_ALLOW": json.dumps(settings.store_allow),
        "PYTHONPATH": str(ROOT),
        **more,
    }


@contextmanager
def running(arguments: Sequence[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the time of the block; its output is shown only where the block fails."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(arguments, env=variables, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            yield process
        except Exception as error:
            output.seek(0)
            raise RuntimeError(f"{arguments}: {error}\n{output.read().decode()[-4000:]}") from error
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def worker(stream: str, concurrency: int | None = None) -> list[str]:
    """The command line of one worker process."""
    orders = Orders(streams=[stream], concurrency=concurrency, drain_seconds=5.0)
    return [sys.executable, "-m", "tidemill.runtime.process", orders.to_argument()]


def wait_for_report(path: Path, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """The report that a measured program writes when it is through."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if process.poll() not in (None, 0):
            raise RuntimeError(f"The measured program ended with {process.returncode}.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"No report within {seconds:g} s.")
        time.sleep(0.05)
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
