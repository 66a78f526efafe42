"""What `tidemill doctor` says of the scheduler, by the entry point `tidemill.checks`: who runs, and what is overdue."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from scheduler.log import read_log
from scheduler.schedule_tables import OVERDUE_SECONDS, span_text
from scheduler.service import GROUP
from scheduler.ticks.applying import read_books
from scheduler.ticks.plan import next_run
from tidemill import broker, delayed
from tidemill.cli.finding import Finding
from tidemill.errors import UnknownTopic

if TYPE_CHECKING:
    from scheduler.ticks.books import Page
    from tidemill.config import Settings

NAME = "scheduler"
ASK_SECONDS = 10.0
MOST_NAMED = 3


def check_scheduler(settings: Settings) -> Finding:
    """Whether somebody emits what the schedule and the delayed events ask for.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    try:
        pages = [page for page in read_books(settings).pages.values() if page.definition is not None]
    except UnknownTopic as error:
        return Finding(NAME, None, f"not checked: {error.message.rstrip('.')}")
    instances = _instances(settings)
    jobs = f"{len(pages)} {'job' if len(pages) == 1 else 'jobs'} in force"
    now = datetime.now(UTC)
    overdue = sorted((late, page.name) for page in pages if (late := overdue_seconds(page, now)) > OVERDUE_SECONDS)
    if not instances:
        waits = _holds_delayed_events(settings)
        if not pages and not waits:
            return Finding(NAME, None, "not running, and nothing asks for it")
        what = f"{jobs}, delayed events wait" if pages and waits else jobs if pages else "delayed events wait"
        return Finding(NAME, False, f"none is running, but {what}", "Start one or more: `tidemill scheduler`.")
    running = f"{instances} {'instance' if instances == 1 else 'instances'}"
    if overdue:
        named = ", ".join(f"{name} by {span_text(late)}" for late, name in overdue[::-1][:MOST_NAMED])
        more = f" and {len(overdue) - MOST_NAMED} more" if len(overdue) > MOST_NAMED else ""
        return Finding(
            NAME,
            False,
            f"{running}, {jobs}, overdue: {named}{more}",
            "Its log says why; `tidemill schedule explain JOB` tells of a single job.",
        )
    return Finding(NAME, True, f"{running}, {jobs}, none overdue")


def overdue_seconds(page: Page, now: datetime) -> float:
    """How long a job's next run has been due; 0 where it isn't, or where the job gets none.

    Args:
        page: What the books say of it; its definition must be there.
        now: The present, aware.
    """
    assert page.definition is not None
    following = next_run(page)
    return 0.0 if following is None else max(0.0, (now - page.definition.job.due_at(following)).total_seconds())


def _instances(settings: Settings) -> int:
    admin = broker.admin_client(settings)
    deadline = time.monotonic() + ASK_SECONDS
    while True:
        (future,) = admin.describe_consumer_groups([settings.qualified(GROUP)], request_timeout=ASK_SECONDS).values()
        try:
            return len(future.result(timeout=2 * ASK_SECONDS).members)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            if code not in broker.COORDINATOR_MOVES or time.monotonic() > deadline:
                raise broker.from_kafka(error.args[0], settings) from error
            time.sleep(0.2)


def _holds_delayed_events(settings: Settings) -> bool:
    """Whether any event waits; without a scheduler nobody takes them away, so reading them all is the way to know."""
    waiting: set[bytes] = set()
    for message in read_log(settings, delayed.TOPIC):
        key = message.key()
        if isinstance(key, bytes):
            (waiting.discard if message.value() is None else waiting.add)(key)
    return bool(waiting)
