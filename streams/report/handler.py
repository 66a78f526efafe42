"""The handler of the report stream: `report.requested` in, files in the store, `report.ready` and who is told out.

Who asked is told of a report that can't be made, too.

In a process of its own, which can be killed with all that it holds: reports take memory, and may be cancelled.
"""

from __future__ import annotations

import time
from functools import lru_cache

from streams.report.failure import tell_failure
from streams.report.settings import ReportSettings, load_report_settings
from tidemill.event import Event
from tidemill.events import EmailRequested, NotificationRequested, ReportReady, ReportRequested
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.store import Store

MEMORY_BYTES = 2 * 1024**3
"""For the process, its libraries included; TIDEMILL_REPORT_MAX_MEMORY_MB is the limit for one report, and lower."""


@stream(
    "report.requested",
    order="none",
    executor="process",
    timeout=1800.0,
    retry=Retry(attempts=4, first=5.0, most=300.0),
    room=64,
    memory_bytes=MEMORY_BYTES,
    cancellable=True,
    on_dead_letter=tell_failure,
)
def report(event: Event[ReportRequested], work: Work) -> list[ReportReady | EmailRequested | NotificationRequested]:
    """Make the report that one event asks for."""
    # Imported here, in the process that needs it: the worker itself stays small.
    from streams.report.making import make
    from streams.report.scratch import scratch_folder
    from streams.report.storing import store_files
    from streams.report.tell import check_tell
    from streams.report.telling import messages
    from streams.report.topic_tables import TopicTables

    settings = _limits()
    store = _store(work.settings.object_store, *work.settings.store_allow)
    check_tell(event.payload, settings)
    started = time.monotonic()
    topics = TopicTables(work.settings, settings.max_topic_events)
    with scratch_folder() as folder:
        made = make(event.payload, folder, at=event.time, settings=settings, topics=topics, progress=work.progress)
        work.progress(note="storing the files")
        files = store_files(made, store)
    seconds = time.monotonic() - started
    ready = ReportReady(
        report=made.report.name,
        title=made.title,
        parameters=made.parameters,
        files=files,
        rows=made.rows,
        seconds=round(seconds, 3),
        notes=[*made.notes, *topics.notes()],
    )
    told = messages(event.payload, made, files, at=event.time, seconds=seconds, settings=settings, home=store.home.uri)
    return [ready, *told]


@lru_cache(maxsize=1)
def _store(home: str, *allow: str) -> Store:
    """The store, opened once per process."""
    return Store.from_urls(home, allow)


@lru_cache(maxsize=1)
def _limits() -> ReportSettings:
    return load_report_settings()
