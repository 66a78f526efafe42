"""What `import tidemill` and its Publisher cost a service: whole processes, less the start of Python itself."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.figures import Figure, median_of
from tidemill.config import Settings


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Measure fresh interpreters, in turn."""
    rounds = 3 if quick else 11
    costs: dict[str, list[float]] = {"pass": [], "import tidemill": [], "from tidemill import Publisher": []}
    for _ in range(rounds):
        for code, seconds in costs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds.append(time.perf_counter() - began)
    empty = costs.pop("pass")
    return [
        median_of(code, [(a - b) * 1000 for a, b in zip(seconds, empty, strict=True)], "ms", most=150)
        for code, seconds in costs.items()
    ]
