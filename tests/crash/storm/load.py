"""The load of a storm: a publisher that sends events at a steady rate, and writes down what it was told of each.

What is sent follows from the seed alone; when, from the clock. It must never wait for the storm: a broker that is away
makes it late, and it catches up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from random import Random

from uuid_utils import uuid7

from tests.crash.storm.events import ErrandAsked, ParcelSent
from tests.crash.storm.ledgers import Ledger, Outcome, Published, now_seconds
from tests.crash.storm.notes import draw_errand, draw_parcel
from tidemill.config import Settings
from tidemill.errors import BufferFull, NotDelivered, TidemillError
from tidemill.publisher import Publisher
from tidemill.publisher.sync import Receipt

LANES = 60
ERRAND_SHARE = 0.1
"""Share of the events that are errands: a process for each takes more than a parcel's coroutine."""


class SteadyLoad:
    """Publishes from `start` until `stop`.

    Args:
        settings: Where to.
        ledger: What each event came to.
        seed: What is sent.
        rate_per_second: How often.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, seed: int, rate_per_second: float) -> None:
        self._publisher = Publisher(settings)
        self._ledger = ledger
        self._luck = Random(f"{seed}/events")
        self._rate_per_second = rate_per_second
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._out_of_turn = 0
        self._waiting: deque[tuple[Published, Receipt]] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm-load")
        self._error: BaseException | None = None
        self.acknowledged = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait until each event is acknowledged or has failed.

        Raises:
            Exception: Whatever ended the thread before.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            with self._lock:
                while self._waiting:
                    self._settle(*self._waiting.popleft())
        finally:
            # What was not delivered is in the ledger already, event by event.
            with contextlib.suppress(NotDelivered):
                self._publisher.close()
        if self._error is not None:
            raise self._error

    def publish_one(self, stream: str, note: str) -> str:
        """Publish one event out of turn, into a lane among the others; returns its id."""
        with self._lock:
            self._out_of_turn += 1
            return self._send(stream, f"lane-{self._out_of_turn * 7 % LANES}", note)

    def _run(self) -> None:
        began = time.monotonic()
        sent = 0
        try:
            while not self._stop.wait(max(0.0, began + sent / self._rate_per_second - time.monotonic())):
                with self._lock:
                    errand = self._luck.random() < ERRAND_SHARE
                    lane = f"lane-{self._luck.randrange(LANES)}"
                    note = draw_errand(self._luck) if errand else draw_parcel(self._luck)
                    self._send("errands" if errand else "parcels", lane, note)
                    self._settle_those_done()
                sent += 1
        except BaseException as error:  # noqa: BLE001 - told by `stop`, in the storm's own thread
            self._error = error

    def _send(self, stream: str, lane: str, note: str) -> str:
        number = self._numbers[stream, lane]
        self._numbers[stream, lane] += 1
        cls = ErrandAsked if stream == "errands" else ParcelSent
        asked = Published("asked", now_seconds(), str(uuid7()), stream, lane, number, note)
        self._ledger.write(asked)
        try:
            receipt = self._publisher.publish(cls(lane=lane, number=number, note=note), id=asked.id)
        except BufferFull:
            self._write(asked, "failed")
        else:
            self._waiting.append((asked, receipt))
        return asked.id

    def _settle_those_done(self) -> None:
        for _ in range(len(self._waiting)):
            asked, receipt = self._waiting.popleft()
            if receipt.done:
                self._settle(asked, receipt)
            else:
                self._waiting.append((asked, receipt))

    def _settle(self, asked: Published, receipt: Receipt) -> None:
        try:
            delivered = receipt.result()
        except TidemillError:
            # It was in the buffer; whether it was written before its time was over, nobody can say.
            self._write(asked, "unknown")
        else:
            self.acknowledged += 1
            self._write(asked, "acknowledged", delivered.partition)

    def _write(self, asked: Published, outcome: Outcome, partition: int = -1) -> None:
        self._ledger.write(
            Published(
                outcome,
                now_seconds(),
                asked.id,
                asked.stream,
                asked.lane,
                asked.number,
                asked.note,
                partition,
            )
        )
