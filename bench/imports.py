"""What it costs a service to import each contender: whole processes, less the start of Python itself."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.figures import Figure, median_of
from bench.ground import Ground

TITLE = "import"
PUBLISHER = "from tidemill import Publisher"
"""What a service that publishes needs; the contender's own statement has streams, too."""


def run(ground: Ground) -> list[Figure]:
    """Measure fresh interpreters, in turn; the first round fills the caches and isn't counted."""
    statements = [(each.key, each.python, each.imports) for each in ground.contenders]
    ours = next(each for each in ground.contenders if each.key == "tidemill")
    statements.append(("publisher", ours.python, PUBLISHER))
    costs: dict[str, list[float]] = {}
    for number in range(-1, 3 if ground.quick else 7):
        for key, python, statement in statements:
            cost = _seconds(python, statement) - _seconds(python, "pass")
            if number >= 0:
                costs.setdefault(key, []).append(cost * 1000)
    figures = [median_of(TITLE, costs[each.key], "ms", contender=each.key) for each in ground.contenders]
    return [*figures, median_of(f"{TITLE}, Publisher only", costs["publisher"], "ms", contender="tidemill", most=150)]


def _seconds(python: Path, statement: str) -> float:
    began = time.perf_counter()
    # Without the working directory on its path, so that all import what is installed.
    done = subprocess.run([python, "-P", "-c", statement], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{python} can't run {statement!r}:\n{done.stderr[-2000:]}")
    return seconds
