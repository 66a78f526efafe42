"""Exports a topic in a process of its own, so that it can be killed: `python -m tests.integration.replay_exporter`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tidemill.config import load_settings
from tidemill.replay import Tally, export, scan


def main() -> None:
    """Arguments: topic, file, format, seconds between two checkpoints, seconds to stand still after each slice."""
    topic, path, format_, checkpoint_seconds, slowness = sys.argv[1:6]
    export.CHECKPOINT_SECONDS = float(checkpoint_seconds)

    def dawdle(tally: Tally, done: int, total: int) -> None:
        # So that a short topic has many moments to be killed at.
        time.sleep(float(slowness))

    resume = "--resume" in sys.argv
    done = export.export(scan(topic, settings=load_settings()), Path(path), format_, resume=resume, progress=dawdle)
    sys.stdout.write(f"{'complete' if done.complete else 'interrupted'} {done.events}\n")


if __name__ == "__main__":
    main()
