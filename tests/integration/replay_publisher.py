"""Publishes a topic again in a process of its own: `python -m tests.integration.replay_publisher`."""

from __future__ import annotations

import sys
import time

from tidemill.config import load_settings
from tidemill.errors import TidemillError
from tidemill.replay import republish, scan


def main() -> None:
    """Arguments: topic, target, name, seconds to stand still after each transaction."""
    topic, target, name, slowness = sys.argv[1:5]
    republish.COMMIT_EVENTS = 100

    def dawdle(done: int, total: int) -> None:
        # So that a short topic has many moments to be killed at.
        time.sleep(float(slowness))

    source = scan(topic, settings=load_settings())
    try:
        done = republish.republish(source, target, name=name, resume="--resume" in sys.argv, progress=dawdle)
    except TidemillError as error:
        sys.exit(f"{error.message} {error.hint}")
    sys.stdout.write(f"{'complete' if done.complete else 'interrupted'} {done.events}\n")


if __name__ == "__main__":
    main()
