"""`Work.progress`: what is passed on of what a handler says, and what a test of a handler sees of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tests.integration.steps import StepAsked
from tidemill.config import load_settings
from tidemill.event import Event, Position
from tidemill.runtime.executors.line import REPORT, Line
from tidemill.runtime.progress import ProgressReport
from tidemill.runtime.work import Work


class Ear:
    """Keeps what it hears, and what is to be called later."""

    def __init__(self) -> None:
        self.heard: list[ProgressReport] = []
        self.due: list[tuple[float, Callable[[], None]]] = []

    def take(self, work: Work, report: ProgressReport) -> None:
        self.heard.append(report)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        self.due.append((seconds, function))


def event(name: str = "event") -> Event[StepAsked]:
    headers = [("ce_id", name.encode())]
    return Event(StepAsked(lane="a", number=0), key=b"a", headers=headers, position=Position("step.asked", 0, 7, 0))


def work(listener: Any = None) -> Work:
    made = Work("steps", 1, None, load_settings())
    nothing: Any = None
    made.provide(nothing, event(), listener)
    return made


def test_of_many_reports_the_first_is_passed_on_and_then_the_latest() -> None:
    ear = Ear()
    at_work = work(ear)
    for done in range(10_000):
        at_work.progress(done, 10_000, unit="rows")
    assert [report.done for report in ear.heard] == [0]
    ((seconds, opens),) = ear.due
    assert 0.4 < seconds <= 0.5
    opens()
    assert [report.done for report in ear.heard] == [0, 9_999]
    assert ear.heard[1] == ProgressReport(9_999, 10_000, "rows", None, "event")
    # Nothing new: nothing more.
    at_work.progress(10_000)
    assert len(ear.due) == 2
    ear.due[1][1]()
    assert len(ear.heard) == 3


def test_each_event_of_a_batch_has_a_first_report() -> None:
    ear = Ear()
    at_work = work(ear)
    for number in range(3):
        at_work.progress(number, event=event(f"event {number}"))
    assert [(report.event_id, report.done) for report in ear.heard] == [("event 0", 0), ("event 1", 1), ("event 2", 2)]


def test_reports_of_many_threads_are_thinned_as_one() -> None:
    ear = Ear()
    at_work = work(ear)

    def count() -> None:
        for done in range(2_000):
            at_work.progress(done)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ear.heard), len(ear.due)) == (1, 1)


def test_a_test_reads_what_its_handler_has_reported() -> None:
    at_work = work()
    at_work.progress(1, 2, note="half")
    at_work.progress(2, 2)
    assert at_work.reported == [ProgressReport(1, 2, None, "half", "event"), ProgressReport(2, 2, event_id="event")]
    assert not at_work.is_cancelled
    at_work.cancel()
    assert at_work.is_cancelled


def test_a_report_costs_a_handler_next_to_nothing() -> None:
    at_work = work(Ear())
    started = time.perf_counter()
    for done in range(20_000):
        at_work.progress(done, 20_000, unit="rows")
    # A few microseconds each; this leaves room for a busy machine.
    assert time.perf_counter() - started < 2.0


def test_a_fork_of_the_handlers_process_is_not_heard() -> None:
    ear = Ear()
    at_work = work(ear)
    at_work.progress(1)
    thinned: Any = at_work._thinned
    thinned._process = os.getpid() + 1
    thinned._lock.acquire()
    at_work.progress(2)
    assert (len(ear.heard), len(ear.due)) == (1, 0)


def ends() -> tuple[Connection[Any, Any], Line]:
    ours, theirs = Pipe()
    return ours, Line(theirs)


def test_a_process_reports_before_its_answer_and_no_more_after_it() -> None:
    ours, line = ends()
    at_work = work()
    line.listen_to(at_work)
    line.take(at_work, ProgressReport(1))
    line.answer(b"answer")
    line.take(at_work, ProgressReport(2))
    line.take(work(), ProgressReport(3))
    assert ours.recv_bytes().startswith(REPORT)
    assert ours.recv_bytes() == b"answer"
    assert not ours.poll(0)


def test_a_report_whose_worker_is_gone_fails_no_handler() -> None:
    ours, line = ends()
    at_work = work()
    line.listen_to(at_work)
    ours.close()
    line.take(at_work, ProgressReport(1))
