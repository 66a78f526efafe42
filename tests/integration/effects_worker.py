"""A worker of effects as a program: does one effect, and dies, hangs or fails in it as it is told.

    python -m tests.integration.effects_worker '{"state_dir": ..., "effects_url": ..., "event": ..., "how": ...}'

Each time that the effect happens a line goes into the file `deeds`; what `once` came to goes to standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tidemill.config import load_settings
from tidemill.errors import TidemillError
from tidemill.event import Event, Position
from tidemill.runtime.effects.ledger import DatabaseLedger
from tidemill.runtime.effects.stream_effects import StreamEffects


def main(orders: dict[str, Any]) -> None:
    """Do what the orders say."""
    deeds = Path(orders["deeds"])

    def deed() -> str:
        with deeds.open("a") as file:
            file.write(f"{orders['event']} {os.getpid()}\n")
        if orders["how"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if orders["how"] == "hang":
            time.sleep(3600)
        if orders["how"] == "slow":
            time.sleep(0.5)
        return f"by {os.getpid()}"

    changes: dict[str, Any] = {"effects_url": orders["effects_url"]} if orders.get("effects_url") else {}
    settings = load_settings(
        state_dir=Path(orders["state_dir"]), effects_lease_seconds=orders.get("lease", 2), **changes
    )
    effects = StreamEffects("tidemill.shop", "thread", DatabaseLedger(settings))
    event: Event[None] = Event(
        None, key=None, headers=[("ce_id", orders["event"].encode())], position=Position("step.asked", 0, 0, 0)
    )
    try:
        result = effects.once(event, "deed", deed, orders["policy"], remaining_seconds=30.0, used=set())
        print(json.dumps({"result": result}))  # noqa: T201 - it is the answer of a program
    except TidemillError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))  # noqa: T201
    effects.close(5)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
