"""One broker of a running stack, for tests of failure: kill it, pause it, bring it back."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidemill.errors import LocalError
from tidemill.local.kafka import Node, bootstrap_servers
from tidemill.local.launch import Launched, Plan, await_answers
from tidemill.local.program import Program, Running, stop_all
from tidemill.local.progress import Silent


class Broker:
    """A Kafka broker; get it from `stack.broker(number)`."""

    def __init__(
        self, node: Node, program: Program, launched: Launched, plan: Plan, stack_id: str, changed: Callable[[], None]
    ) -> None:
        self._node = node
        self._program = program
        self._launched = launched
        self._plan = plan
        self._stack_id = stack_id
        self._changed = changed

    @property
    def number(self) -> int:
        """Its `node.id`, from 1."""
        return self._node.number

    @property
    def address(self) -> str:
        """host:port for clients."""
        return bootstrap_servers([self._node])

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self._running.pid

    @property
    def is_alive(self) -> bool:
        """Whether its process runs; a paused one does."""
        return self._running.is_alive

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL), and wait until it is gone."""
        self._running.kill()

    def stop(self, *, timeout_seconds: float = 20.0) -> None:
        """Let it end in order (SIGTERM): leaders move first. After the time it is killed."""
        stop_all([self._running], timeout_seconds)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers, as with a long collection or a hung disk.

        Returns when all of its threads stand still.

        Raises:
            LocalError: Some of it still runs after ten seconds.
        """
        self._running.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._running.resume()

    def start(self, *, timeout_seconds: float = 60.0) -> None:
        """Start it again after `kill` or `stop`, on the same port and data; returns when the cluster lists it.

        Raises:
            LocalError: It runs already, dies again, or isn't back in time.
        """
        if self.is_alive:
            raise LocalError(f"{self._program.title} runs already (pid {self.pid}).", hint="kill() or stop() it first.")
        running = Running.start(self._program, self._stack_id, detached=self._plan.detached)
        self._launched.running[self._program.name] = running
        self._changed()
        await_answers(self._launched, [running], time.monotonic() + timeout_seconds, Silent())

    @property
    def _running(self) -> Running:
        return self._launched.running[self._program.name]

    def __repr__(self) -> str:
        return f"<Broker {self.number} {self.address} pid={self.pid} {'alive' if self.is_alive else 'ended'}>"
