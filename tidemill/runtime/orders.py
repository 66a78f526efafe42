"""What a supervisor tells its worker processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from tidemill.runtime.recorder import Suspect


@dataclass(frozen=True)
class Orders:
    """What the supervisor tells a process to do."""

    streams: list[str]
    concurrency: int | None
    drain_seconds: float
    supervisor_pid: int | None = None
    """Who must be there: a worker drains when its supervisor is gone."""
    ready_descriptor: int | None = None
    """Where the process writes a byte once it consumes, so that a later end is known to be no refusal."""

    recorder_descriptor: int | None = None
    """Where the process notes down what is in work (`recorder`)."""
    suspects: list[Suspect] = field(default_factory=list)
    """What was in work when an earlier process died."""

    def to_argument(self) -> str:
        """As a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Orders:
        """From a command-line argument."""
        told = json.loads(argument)
        return cls(**{**told, "suspects": [Suspect(**suspect) for suspect in told["suspects"]]})
