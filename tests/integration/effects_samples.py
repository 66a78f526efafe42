"""Streams with effects, and the outside world that counts them: a till, which nobody can take anything back from."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tests.integration.steps import StepAsked, StepDone
from tidemill import Event, Retry, Work, stream
from tidemill.errors import OutcomeUnknown

TILL = "TIDEMILL_TEST_TILL"
"""Name of the variable with the till's port."""
SHORT = Retry(attempts=3, first=0.05, most=0.1)


class Till:
    """Takes what workers send, one line for each charge, and counts it before it answers.

    Args:
        work_seconds: How long it takes from the count to the answer.
    """

    def __init__(self, work_seconds: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._charged: list[str] = []
        self.silent: set[str] = set()
        """Charges that are counted, and whose answer never comes."""
        till = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline().decode()
                if not line.endswith("\n"):
                    return  # Whoever sent it died before it was asked for anything.
                charge = line.strip()
                with till._lock:
                    till._charged.append(charge)
                time.sleep(work_seconds)
                if charge not in till.silent:
                    # Its client may have been killed meanwhile.
                    with contextlib.suppress(ConnectionError):
                        self.connection.sendall(b"receipt\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    @property
    def charged(self) -> Counter[str]:
        """How often each charge was made."""
        with self._lock:
            return Counter(self._charged)

    def serve(self) -> None:
        """Serve until it is closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Take no more charges."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def open_till(work_seconds: float = 0.0) -> Iterator[Till]:
    """A till for the time of the block."""
    till = Till(work_seconds)
    thread = threading.Thread(target=till.serve)
    thread.start()
    try:
        yield till
    finally:
        till.close()
        thread.join()


def charge(name: str) -> str:
    """Charge once; nobody knows whether it was, where the till doesn't answer."""
    with socket.create_connection(("127.0.0.1", int(os.environ[TILL])), timeout=10) as connection:
        connection.sendall(f"{name}\n".encode())
        answer = connection.makefile().readline().strip()
    if not answer:
        raise OutcomeUnknown("The till hung up without an answer.")
    return answer


def _name(event: Event[StepAsked]) -> str:
    return f"{event.payload.lane}/{event.payload.number}"


@stream("step.asked", name="charge-hold", executor="thread", concurrency=4, retry=SHORT)
def charge_hold(event: Event[StepAsked], work: Work) -> StepDone:
    """Charge, and leave to a person what nobody knows."""
    receipt = work.once("charge", lambda: charge(_name(event)), policy="hold")
    return StepDone(lane=event.payload.lane, number=event.payload.number, note=receipt)


@stream("step.asked", name="charge-again", executor="thread", concurrency=4, retry=SHORT)
def charge_again(event: Event[StepAsked], work: Work) -> StepDone:
    """Charge at least once."""
    receipt = work.once("charge", lambda: charge(_name(event)), policy="again")
    return StepDone(lane=event.payload.lane, number=event.payload.number, note=receipt)


@stream("step.asked", name="charge-process", executor="process", concurrency=2, retry=SHORT)
def charge_process(event: Event[StepAsked], work: Work) -> StepDone:
    """Charge from a process of its own."""
    receipt = work.once("charge", lambda: charge(_name(event)), policy="again")
    return StepDone(lane=event.payload.lane, number=event.payload.number, note=receipt)


@stream("step.asked", name="charge-batch", batch=20, retry=SHORT)
def charge_batch(events: list[Event[StepAsked]], work: Work) -> None:
    """Charge for each of a batch, which then fails once."""
    for event in events:
        work.once("charge", partial(charge, _name(event)), policy="hold", event=event)
    if len(events) > 1:
        raise ValueError("after all of them")
