"""The duty of whoever owns a partition of `schedule.jobs`: to emit the ticks of its jobs, each at its time.

All that counts is in the partition's log; what is kept here follows from it. Jobs wait in a heap by the time at which
there is something to do for them, so that many jobs that aren't due cost nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scheduler.ticks.books import Books, Page, RunRequest, key_of
from scheduler.ticks.deed import Answer, JobDeed, TicksDeed
from scheduler.ticks.emitting import TickEvents
from scheduler.ticks.plan import Plan, Skip, plan, run_by_hand
from tidemill.errors import ConfigError, ContractError, DecodeError, SchemaNotRegistered, TidemillError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from scheduler.ticks.emitting import Emitting
    from scheduler.ticks.finished import Finished

MOST_JOBS = 500
"""Jobs of one transaction; more that are due follow in the next."""
FIRST_HOLD_SECONDS, MOST_HOLD_SECONDS = 1.0, 60.0
NAMED_IN_LOG = 5


class TicksDuty:
    """Emits the ticks of one partition's jobs.

    Args:
        topic: That of the books, with the namespace.
        partition: Of the books.
        emitting: Makes the events.
        finished: Asked for jobs that must not overlap themselves.
    """

    def __init__(self, topic: str, partition: int, emitting: Emitting, finished: Finished) -> None:
        self._topic = topic
        self._partition = partition
        self._emitting = emitting
        self._finished = finished
        self._books = Books()
        self._is_loaded = False
        self._heap: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}
        """When there is something to do for a job; entries of the heap that say otherwise are outdated."""
        self._holds: dict[str, int] = {}
        """How often in a row a job was put off, for a fault that isn't its own."""
        self._log = get_logger("scheduler")

    def take(self, message: Message) -> None:
        """As `Duty.take`."""
        key = message.key()
        if self._is_loaded and isinstance(key, bytes) and key.startswith(b"state/"):
            return  # What this owner has written itself, and has gone beyond meanwhile.
        try:
            about = self._books.take(key if isinstance(key, bytes) else None, message.value())
        except DecodeError as error:
            self._log.error("a record is passed over", offset=message.offset(), error=str(error))
            return
        if about is not None and about[0] in ("job", "pause") and self._is_loaded:
            self._look_at(about[1], 0.0)

    def loaded(self) -> None:
        """As `Duty.loaded`."""
        self._is_loaded = True
        for name in self._books.pages:
            self._look_at(name, 0.0)

    def next_at(self) -> float | None:
        """As `Duty.next_at`."""
        if self._books.requests:
            return 0.0
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> TicksDeed | None:
        """As `Duty.due`."""
        moment = datetime.fromtimestamp(now, UTC)
        deeds = [deed for name in self._due_names(now) if (deed := self._deed(name, moment)) is not None]
        answers: list[Answer] = []
        for request in self._books.requests.values():
            self._answer(request, moment, deeds, answers)
        if not deeds and not answers:
            return None
        return TicksDeed(
            self._topic, self._partition, deeds, answers, self._emitting.by, self._done, self._put_off_refused
        )

    def _due_names(self, now: float) -> list[str]:
        names: list[str] = []
        while len(names) < MOST_JOBS and (at := self.next_at()) is not None and at <= now and self._heap:
            if self._heap[0][0] > now:
                break
            _, name = heapq.heappop(self._heap)
            # Until it is looked at again; should the transaction fail, everything is due as before.
            self._look_at(name, now + FIRST_HOLD_SECONDS)
            names.append(name)
        return names

    def _deed(self, name: str, now: datetime) -> JobDeed | None:
        page = self._books.pages[name]
        if page.definition is None:
            self._at.pop(name, None)
            return None
        job = page.definition.job
        try:
            made = plan(page, now, lambda: self._is_last_run_finished(page))
            ticks = self._ticks(made, now)
            skips = [self._emitting.skipped(job, skip, now) for skip in made.skips]
        except (TidemillError, OSError) as error:
            self._put_off(name, now.timestamp(), str(error))
            return None
        if made.is_empty:
            self._settle(name, made)
            return None
        return JobDeed(page, made, ticks, skips)

    def _ticks(self, made: Plan, now: datetime) -> list[TickEvents]:
        """The events of a plan's ticks; of a tick whose event can't be made it is told instead that it was skipped."""
        found: list[TickEvents] = []
        failed = skipped = 0
        for planned in made.ticks:
            # Sequences have no gaps, and each tick says how many before it are missing.
            tick = replace(planned, sequence=planned.sequence - failed, missed=planned.missed + skipped)
            try:
                found.append(self._emitting.tick(made.job, tick, now))
            except SchemaNotRegistered:
                raise  # That is mended by whoever runs this, and the job waits for it.
            except (ContractError, ConfigError) as error:
                self._log.error("a job's event can't be made", job=made.job.name, error=str(error))
                made.skips.append(Skip(tick.scheduled_at, tick.scheduled_at, 1, "failed", str(error)))
                failed, skipped = failed + 1, tick.missed + 1
            else:
                skipped = 0
        made.skipped += skipped
        return found

    def _is_last_run_finished(self, page: Page) -> bool:
        job = page.definition.job if page.definition is not None else None
        ran = page.state.ran if page.state is not None else None
        if job is None or ran is None or ran.emit is None or job.stream is None:
            return True
        return self._finished.is_finished(job.stream, ran.emit)

    def _answer(self, request: RunRequest, now: datetime, deeds: list[JobDeed], answers: list[Answer]) -> None:
        """Do what a request asks for, or say why not."""
        if any(deed.page.name == request.job for deed in deeds):
            return  # In the next transaction, after the state that this one writes.
        page = self._books.pages.get(request.job)
        if page is None or page.definition is None:
            answers.append(Answer(request, f"there is no job {request.job!r}"))
            return
        state = page.state
        made = Plan(page.definition.job, skipped=state.skipped if state is not None else 0)
        made.ticks.append(run_by_hand(page, request))
        try:
            events = self._emitting.tick(made.job, made.ticks[0], now)
        except (TidemillError, OSError) as error:
            answers.append(Answer(request, f"its event can't be made: {error}"))
            return
        self._log.info("run by hand", job=request.job, asked_by=request.by)
        deeds.append(JobDeed(page, made, [events], []))
        answers.append(Answer(request, "emitted", events.event.id))

    def _done(self, deeds: Sequence[JobDeed], answers: Sequence[Answer]) -> None:
        for answer in answers:
            self._books.requests.pop(key_of("run", answer.request.id), None)
        for deed in deeds:
            name = deed.page.name
            self._books.pages[name].state = deed.state
            self._holds.pop(name, None)
            if not any(events.tick.request for events in deed.ticks):
                self._settle(name, deed.plan)
        ticks = [(deed.page.name, events) for deed in deeds for events in deed.ticks]
        if ticks:
            self._log.info(
                "ticks",
                count=len(ticks),
                jobs=sorted({name for name, _ in ticks})[:NAMED_IN_LOG],
                late_ms=max(_late_ms(events) for _, events in ticks),
            )
        self._tell_skips(deeds)

    def _tell_skips(self, deeds: Sequence[JobDeed]) -> None:
        skips = [(deed.page.name, skip) for deed in deeds for skip in deed.plan.skips]
        if len(skips) <= NAMED_IN_LOG:
            for name, skip in skips:
                self._log.warning("no ticks", job=name, count=skip.count, reason=skip.reason, detail=skip.detail)
        else:
            self._log.warning(
                "no ticks",
                jobs=sorted({name for name, _ in skips})[:NAMED_IN_LOG],
                of_jobs=len({name for name, _ in skips}),
                count=sum(skip.count for _, skip in skips),
                reasons=sorted({skip.reason for _, skip in skips}),
            )

    def _settle(self, name: str, made: Plan) -> None:
        if made.next is None:
            self._at.pop(name, None)
        else:
            self._look_at(name, made.next.timestamp())

    def _look_at(self, name: str, at: float) -> None:
        self._at[name] = at
        heapq.heappush(self._heap, (at, name))

    def _put_off(self, name: str, now: float, reason: str) -> None:
        holds = self._holds[name] = self._holds.get(name, 0) + 1
        seconds = min(MOST_HOLD_SECONDS, FIRST_HOLD_SECONDS * 2 ** (holds - 1))
        self._log.error("a job's tick has to wait", job=name, reason=reason, seconds=seconds)
        self._look_at(name, now + seconds)

    def _put_off_refused(self, deed: JobDeed, reason: str) -> None:
        for events in deed.ticks:
            if events.tick.request is not None:
                # Or it would be tried again at once, for ever.
                self._books.requests.pop(key_of("run", events.tick.request.id), None)
        self._put_off(deed.page.name, datetime.now(UTC).timestamp(), reason)

    def close(self) -> None:
        """As `Duty.close`."""
        self._finished.close()


def _late_ms(events: TickEvents) -> int:
    return round((events.emitted_at - events.tick.scheduled_at).total_seconds() * 1000)
