"""`python -m examples.demo`: start the stack if it isn't up, run the demo, check every result, show what came out.

Exit status 0 only if every rendition is there and right, and the broken picture is a dead letter that says why.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.demo.checking import faults_of
from examples.demo.clock import DELAY, PERIOD, TICKS, show_clock, watch_clock
from examples.demo.notices import COMMENTS
from examples.demo.programs import running_scheduler, running_workers
from examples.demo.sheet import write_contact_sheet
from examples.demo.uses import NEW_ROWS, OLD_ROWS, follow_uses, show_uses
from streams.image.command import show
from streams.image.jobs import ImageJobs, Job
from streams.image.settings import load_image_settings
from tidemill.cli.app import prepare_contracts
from tidemill.cli.stack_progress import TerminalProgress
from tidemill.cli.terminal import command, err, out
from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.registry import Registry
from tidemill.errors import LocalError, PortTaken
from tidemill.events import Rendition
from tidemill.local import Stack
from tidemill.publisher import Publisher
from tidemill.store import Store
from tidemill.tail import Tail

PHOTOS = Path(__file__).parent.parent / "photos"
BROKEN = "broken.jpg"
RENDITIONS = (
    Rendition(name="large", width=1200, format="jpeg"),
    Rendition(name="card", width=480, height=320, fit="cover", format="webp"),
    Rendition(name="thumb", width=120, height=120, fit="cover", format="jpeg"),
)
WORKERS = 2
OUTCOME_SECONDS = 60.0


@command
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave Kafka and the registry running.")] = False,
    photos: Annotated[Path, typer.Option(help="Folder of pictures.", exists=True, file_okay=False)] = PHOTOS,
) -> None:
    """Send photographs through a real Kafka and two workers, let the clock tick, and look at what comes out."""
    settings = load_settings()
    with TerminalProgress(err) as progress:
        stack = _start(settings, progress, detached=keep)
    try:
        for line in prepare_contracts(stack.settings):
            err.print(f"[green]✓[/] {line}", highlight=False)
        status = _run(
            stack.settings,
            sorted(path for path in photos.iterdir() if path.suffix in {".jpg", ".png", ".webp"}),
            stack.mailbox_url,
        )
    finally:
        if stack.started_here and not keep:
            stack.stop()
    if keep:
        err.print("Kafka and the registry keep running: `tidemill status` shows them, `tidemill down` stops them.")
    raise typer.Exit(status)


def _start(settings: Settings, progress: TerminalProgress, *, detached: bool) -> Stack:
    """The stack of this user, or one on free ports where other programs hold the usual ones."""
    try:
        return Stack.start(settings, smtp_port=1025, detached=detached, progress=progress)
    except PortTaken:
        return Stack.start(
            settings,
            kafka_port=0,
            registry_port=0,
            smtp_port=0,
            mailbox_port=0,
            detached=detached,
            progress=progress,
        )


def _run(settings: Settings, files: list[Path], mailbox_url: str | None) -> int:
    store = Store.from_settings(settings)
    log = settings.state_dir / "logs" / "demo-workers.log"
    clock_log = settings.state_dir / "logs" / "demo-scheduler.log"
    with (
        Registry(settings) as registry,
        Tail(settings, ImageJobs.TOPICS) as tail,
        Publisher(settings, codec=(codec := Codec(registry))) as publisher,
        running_scheduler(settings, clock_log),
        running_workers(settings, log, processes=WORKERS),
    ):
        jobs = ImageJobs(publisher, store, codec, tail, load_image_settings())
        seconds, rate = _watch(jobs, files)
        source = next(job.source for job in jobs.jobs.values() if job.file.name != BROKEN)
        with err.status(
            f"the clock: {TICKS} ticks of a job of every {PERIOD.seconds} s, and an event delayed by {DELAY.seconds} s"
        ):
            seen = watch_clock(settings, publisher, codec, source)
        if mailbox_url is None:
            raise LocalError("The stack runs without a mailbox.", hint="`tidemill down`, then run the demo again.")
        with err.status("a sign-up, a video, a report, a clean-up, notices, and a daily summary by the clock"):
            uses = follow_uses(settings, publisher, store, mailbox_url)
    results = list(jobs.jobs.values())
    out.print()
    show(results, seconds)
    out.print(f"{rate:.1f} pictures/s once the {WORKERS} worker processes were up; their log: {log}", soft_wrap=True)
    show_clock(seen)
    out.print(f"The scheduler's log: {clock_log}", soft_wrap=True)
    show_uses(uses)
    faults = [*faults_of(results, RENDITIONS, store, broken=BROKEN), *seen.faults(), *uses.faults()]
    sheet = write_contact_sheet(settings.state_dir / "demo.html", results, seconds, uses)
    out.print(f"[bold]All results on one page:[/] {sheet.as_uri()}", soft_wrap=True)
    for fault in faults:
        out.print(f"[red]✗[/] {fault}")
    if not faults:
        good = sum(len(job.result.renditions) for job in results if job.result is not None)
        out.print(f"[green]✓[/] {good} renditions read back and checked: SHA-256, size, format")
        out.print(f"[green]✓[/] {BROKEN} is a dead letter that says why")
        out.print(f"[green]✓[/] {len(seen.ticks)} ticks, one for each time, and each has led to a picture")
        out.print(f"[green]✓[/] the event delayed by {DELAY.seconds} s came {seen.late_ms} ms after it was due")
        out.print("[green]✓[/] in the mailbox: a welcome, a report's link, a daily summary by the clock")
        out.print(
            f"[green]✓[/] {len(uses.notices.taken)} signed webhooks taken, {len(COMMENTS)} notices as one; "
            "one that is gone (410) replaced by a mail",
            soft_wrap=True,
        )
        out.print(f"[green]✓[/] {len(uses.files('video'))} files of a video, {len(uses.files('report'))} of a report")
        out.print(f"[green]✓[/] {OLD_ROWS} sessions archived and deleted, {NEW_ROWS} left")
    return 1 if faults else 0


def _watch(jobs: ImageJobs, files: list[Path]) -> tuple[float, float]:
    """Publish and wait, with a live display.

    Returns:
        Seconds from the first publication to the last result, and pictures per second from the first result on.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = first = last = time.monotonic()
    through = 0
    with Progress(*columns, console=err, transient=not err.is_terminal) as progress:
        published = progress.add_task("published", total=len(files))
        done = progress.add_task("renditions made", total=len(files))
        for file in files:
            jobs.submit(file, RENDITIONS)
            progress.advance(published)
        for job in jobs.outcomes(OUTCOME_SECONDS):
            last = time.monotonic()
            through += 1
            first = last if through == 1 else first
            progress.update(done, advance=1, description=f"renditions made: {_label(job)}")
        progress.update(done, description="renditions made")
    return last - began, (through - 1) / (last - first) if last > first else 0.0


def _label(job: Job) -> str:
    return f"{job.file.name} {'failed' if job.failure else 'done'}"


if __name__ == "__main__":
    typer.run(demo)
