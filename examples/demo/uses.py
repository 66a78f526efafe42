"""The demo's third part: a sign-up, a video, a report, a clean-up, notices and a daily summary, each by its stream and
followed to its end by the table of jobs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from zoneinfo import ZoneInfo

from rich.table import Table

from examples.demo import notices
from examples.demo.notices import Notices
from examples.demo.programs import running_program
from examples.demo.receiver import Receiver, running_receiver
from examples.reports.sample_database import make_database
from scheduler.jobs.every import Every
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from scheduler.ticks.applying import write
from scheduler.ticks.books import Definition
from tidemill.cli.terminal import out
from tidemill.errors import TidemillError
from tidemill.events import (
    CleanupRequested,
    EmailRequested,
    ReportRequested,
    VideoOutput,
    VideoPoster,
    VideoRequested,
)
from tidemill.jobs import Jobs, JobStatus

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload
    from tidemill.publisher import Publisher
    from tidemill.store import Store

EXAMPLES = Path(__file__).parent.parent
TEMPLATES = EXAMPLES / "email" / "templates"
CLIP = EXAMPLES / "video" / "travel.mp4"
WAIT_SECONDS = 60.0
SUMMARY_JOB = "demo-daily-summary"
OLD_ROWS, NEW_ROWS = 40, 260
MAILS = {
    "a welcome": "ada@example.com",
    "a report's link": "ops@example.com",
    "a daily summary": "team@example.com",
    "a notice": notices.GRACE_MAIL,
}
"""What is to lie in the mailbox, and for whom."""
POLICIES = """\
[[policy]]
name = "old-sessions"
database = "app"
table = "sessions"
age = "last_seen"
older_than = "90d"
archive = "archive/sessions"
max_share = 0.5
"""


@dataclass
class Uses:
    """What came of each use."""

    jobs: dict[str, JobStatus] = field(default_factory=dict)
    """By what was asked for."""
    failures: dict[str, str] = field(default_factory=dict)
    mails: list[dict[str, Any]] = field(default_factory=list)
    rows_left: int = -1
    mailbox_url: str = ""
    mails_before: frozenset[str] = frozenset()
    """Ids of mails that were in the mailbox already."""
    notices: Notices = field(default_factory=Notices)
    table: list[JobStatus] = field(default_factory=list)
    """All jobs of the demo, as `tidemill jobs` shows them."""

    def faults(self) -> list[str]:
        """What isn't as it should be."""
        found = [f"{what}: {why}" for what, why in self.failures.items()]
        to = json.dumps(self.mails)
        found += [f"{what} for {whom} isn't in the mailbox" for what, whom in MAILS.items() if whom not in to]
        found += self.notices.faults()
        if not self.failures and self.rows_left != NEW_ROWS:
            found.append(f"{self.rows_left} rows are left, expected {NEW_ROWS}")
        return found

    def files(self, what: str) -> list[dict[str, Any]]:
        """The files that came of a video or a report."""
        status = self.jobs.get(what)
        made = [result.payload for result in status.results] if status is not None else []
        return [file for payload in made if payload for file in payload.get("files", [])]

    @property
    def refusals(self) -> list[str]:
        """Why the notice that became a mail went by no webhook."""
        status = self.jobs.get(notices.FALLBACK)
        payloads = [result.payload or {} for result in status.results] if status is not None else []
        return [each["reason"] for payload in payloads for each in payload.get("tried", []) if each["reason"]]


def follow_uses(settings: Settings, publisher: Publisher, store: Store, mailbox_url: str) -> Uses:
    """Ask for one of each, and wait for it.

    Args:
        settings: The stack's.
        publisher: Of these settings.
        store: Where the clip is put for the stream.
        mailbox_url: The stack's mailbox.
    """
    seen = Uses(mailbox_url=mailbox_url, mails_before=frozenset(mail["id"] for mail in _mails(mailbox_url)))
    folder = settings.state_dir / "demo"
    sessions = _prepare(folder)
    clip = store.put("demo/travel.mp4", CLIP, "video/mp4").uri
    asked: dict[str, Payload] = {
        "sign-up": EmailRequested(
            to=["Ada <ada@example.com>"],
            template="welcome",
            context=(TEMPLATES / "welcome.context.json").read_text(encoding="utf-8"),
        ),
        "video": VideoRequested(
            source=clip,
            outputs=[
                VideoOutput(name="small", container="mp4", short_side=240),
                VideoOutput(name="web", container="webm", short_side=180),
            ],
            poster=VideoPoster(),
        ),
        "report": ReportRequested(
            report="sales", formats=["pdf", "xlsx"], tell=[MAILS["a report's link"]], user=notices.SHOP
        ),
        "clean-up": CleanupRequested(policy="old-sessions", as_of=datetime.now(UTC)),
        **notices.asked(),
    }
    with ExitStack() as ends:
        receiver = ends.enter_context(running_receiver())
        notices.enter_recipients(settings, folder, receiver)
        ends.enter_context(_streams(settings, folder))
        ends.enter_context(running_program(settings, settings.state_dir / "logs" / "demo-tracker.log", ["tracker"]))
        ends.enter_context(_summary_in_force(settings))
        jobs = Jobs(settings)
        ends.callback(jobs.close)
        ids = {what: publisher.publish(payload).id for what, payload in asked.items()}
        publisher.flush(WAIT_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        for what, job_id in ids.items():
            try:
                seen.jobs[what] = _wait(jobs, job_id, deadline)
            except TidemillError as error:
                seen.failures[what] = str(error)
        while not _is_complete(seen, receiver) and time.monotonic() < deadline:
            time.sleep(0.1)
        # The last of them may have come after its job was looked at.
        seen.table = list(jobs.listed(limit=200))
    seen.rows_left = _count(sessions)
    return seen


def _wait(jobs: Jobs, job_id: str, deadline: float) -> JobStatus:
    while True:
        try:
            return jobs.wait(job_id, max(0.1, deadline - time.monotonic()))
        except TidemillError as error:
            # Until the tracker has made its table there is none to look at.
            if not error.retriable or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _is_complete(seen: Uses, receiver: Receiver) -> bool:
    seen.mails = [mail for mail in _mails(seen.mailbox_url) if mail["id"] not in seen.mails_before]
    seen.notices = notices.seen_by(receiver)
    said = json.dumps(seen.mails)
    return seen.notices.is_complete and all(whom in said for whom in MAILS.values())


def _mails(mailbox_url: str) -> list[dict[str, Any]]:
    with urlopen(f"{mailbox_url.rstrip('/')}/api/mails?limit=50", timeout=10) as answer:
        found = json.load(answer)
    return list(found["mails"] if isinstance(found, dict) else found)


def _prepare(folder: Path) -> Path:
    """The sample databases and the policies; returns the database with the sessions."""
    folder.mkdir(parents=True, exist_ok=True)
    today = datetime.now(UTC)
    make_database(folder / "shop.db", today.date())
    (folder / "cleanup.toml").write_text(POLICIES, encoding="utf-8")
    sessions = folder / "app.db"
    sessions.unlink(missing_ok=True)
    with sqlite3.connect(sessions) as connection:
        connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, user TEXT, last_seen TIMESTAMP)")
        days = [100 + number for number in range(OLD_ROWS)] + [number % 80 for number in range(NEW_ROWS)]
        connection.executemany(
            "INSERT INTO sessions (user, last_seen) VALUES (?, ?)",
            [(f"user-{number}", f"{today - timedelta(days=age):%Y-%m-%d %H:%M:%S}") for number, age in enumerate(days)],
        )
    connection.close()
    return sessions


def _count(sessions: Path) -> int:
    connection = sqlite3.connect(sessions)
    try:
        return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])
    finally:
        connection.close()


@contextmanager
def _streams(settings: Settings, folder: Path) -> Iterator[None]:
    environment: Mapping[str, str] = {
        "TIDEMILL_EMAIL_TEMPLATES": str(TEMPLATES),
        "TIDEMILL_REPORT_FOLDER": str(EXAMPLES / "reports"),
        "TIDEMILL_REPORT_SOURCE_SHOP": f"sqlite:///{folder / 'shop.db'}",
        "TIDEMILL_CLEANUP_POLICIES": str(folder / "cleanup.toml"),
        "TIDEMILL_CLEANUP_DATABASES__APP": f"sqlite:///{folder / 'app.db'}",
        **notices.environment(folder),
    }
    log = settings.state_dir / "logs" / "demo-streams.log"
    streams = ["email", "video", "report", "cleanup", "notification", "notification_due"]
    arguments = ["worker", *streams, "--drain-seconds", "10"]
    with running_program(settings, log, arguments, environment):
        yield


@contextmanager
def _summary_in_force(settings: Settings) -> Iterator[None]:
    """A job whose tick asks for a daily summary by mail; a day is short here."""
    now = datetime.now(UTC)
    context = json.loads((TEMPLATES / "daily-summary.context.json").read_text(encoding="utf-8"))
    payload = {"to": [MAILS["a daily summary"]], "template": "daily-summary", "context": json.dumps(context)}
    job = Job(
        name=SUMMARY_JOB,
        schedule=Schedule(Every(timedelta(seconds=5)), zone=ZoneInfo("UTC"), ends=now + timedelta(seconds=12)),
        emit=Emit(type=EmailRequested.__contract__.type, payload=payload),
    )
    write(settings, [(SUMMARY_JOB, "job", SUMMARY_JOB, Definition(job, now, now, "the demo"))])
    try:
        yield
    finally:
        write(settings, [(SUMMARY_JOB, "job", SUMMARY_JOB, None)])


def show_uses(seen: Uses) -> None:
    """The table of all jobs, for people."""
    counts: dict[tuple[str, str], int] = {}
    for status in seen.table:
        named = (status.type or "unknown", str(status.state))
        counts[named] = counts.get(named, 0) + 1
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("JOB BEGAN WITH", "STATE", "JOBS"):
        table.add_column(heading, justify="right" if heading == "JOBS" else "left")
    for (kind, state), count in sorted(counts.items()):
        table.add_row(kind, state, str(count))
    out.print()
    out.print(table)
