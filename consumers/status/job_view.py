"""How a job looks in a terminal: a head, and the tree of its events. Computes only; the clock is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tidemill.jobs.state import State

if TYPE_CHECKING:
    from tidemill.jobs.status import EventStatus, JobStatus, Progress

MARKS = {
    State.RUNNING: ("●", "bold blue"),
    State.WAITING: ("◔", "yellow"),
    State.QUEUED: ("○", ""),
    State.DELAYED: ("◷", ""),
    State.FAILED: ("✗", "bold red"),
    State.CANCELLED: ("⊘", "magenta"),
    State.DONE: ("✓", "green"),
}
BAR_CHARACTERS = 24
MOST_PAYLOAD_CHARACTERS = 300


def job_view(status: JobStatus, events: Sequence[EventStatus], now: datetime) -> RenderableType:
    """A job and its events.

    Args:
        status: The job.
        events: Its events, or some of them.
        now: The present, aware.
    """
    parts: list[RenderableType] = [_head(status, now), Text()]
    parts += [_tree(root, events, now) for root in _roots(events)]
    if (more := status.events - len(events)) > 0:
        parts.append(Text(f"and {more:,} more events", "dim"))
    for result in status.results[:MOST_RESULTS_SHOWN] if status.is_finished else ():
        if result.payload is not None:
            parts += [Text(), _payload(result.type, result.payload)]
    return Group(*parts)


MOST_RESULTS_SHOWN = 3


def state_text(state: State) -> Text:
    """A state as it is shown everywhere."""
    mark, style = MARKS[state]
    return Text(f"{mark} {state}", style)


def detail_text(event: EventStatus, now: datetime) -> str:
    """What there is to say about an event beside its state, in one line."""
    parts = []
    if event.stream is not None and event.state is not State.DONE:
        parts.append(event.stream)
    if event.attempt is not None and (event.attempt > 1 or event.state is State.FAILED):
        said = f"{event.attempt:,} {'try' if event.attempt == 1 else 'tries'}"
        parts.append(f"after {said}" if event.state in (State.WAITING, State.FAILED) else f"try {event.attempt:,}")
    if event.state is State.RUNNING and event.since is not None:
        parts.append(f"for {span_text((now - event.since).total_seconds())}")
    if event.until is not None:
        parts.append(_until(event.until, now))
    if event.why is not None:
        parts.append(" ".join(event.why.split()))
    return ", ".join(parts)


def progress_text(progress: Progress) -> str:
    """How far it is, as `1,200 of 5,000 rows, resizing`."""
    parts = []
    if progress.done is not None:
        parts.append(f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total else ""))
        if progress.unit:
            parts[-1] += f" {progress.unit}"
    if progress.note:
        parts.append(" ".join(progress.note.split()))
    return ", ".join(parts)


def span_text(seconds: float) -> str:
    """A stretch of time, as `4 min`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.{0 if seconds >= 10 else 1}f} s"


def _head(status: JobStatus, now: datetime) -> Text:
    head = Text.assemble((status.type or "a job whose first event isn't known", "bold"), "  ", (status.id, "dim"), "\n")
    head.append_text(state_text(status.state))
    until = status.updated_at if status.is_finished else now
    took = span_text((until - status.created_at).total_seconds())
    word = "took" if status.is_finished else "for"
    head.append(f"   published {status.created_at:%Y-%m-%d %H:%M:%S} UTC, {word} {took}", "dim")
    if status.events > 1:
        head.append(f", {status.finished_events:,} of {status.events:,} events finished", "dim")
    if status.cancel_asked_by is not None and status.state is not State.CANCELLED:
        head.append(f"\ncancel was asked by {status.cancel_asked_by}", "magenta")
    return head


def _roots(events: Sequence[EventStatus]) -> list[EventStatus]:
    """Those whose cause isn't among them; what is a circle begins somewhere, too."""
    known = {event.id for event in events}
    return [event for event in events if event.cause not in known or event.cause == event.id] or list(events[:1])


def _tree(root: EventStatus, events: Sequence[EventStatus], now: datetime) -> Tree:
    children: dict[str | None, list[EventStatus]] = {}
    for event in events:
        children.setdefault(event.cause, []).append(event)
    tree = Tree(_label(root, now), guide_style="dim")
    grown = {root.id}
    branches = [(tree, root)]
    while branches:
        branch, parent = branches.pop(0)
        for child in children.get(parent.id, ()):
            if child.id not in grown:
                grown.add(child.id)
                branches.append((branch.add(_label(child, now)), child))
    return tree


def _label(event: EventStatus, now: datetime) -> RenderableType:
    mark, style = MARKS[event.state]
    line = Text.assemble((f"{mark} ", style), event.type or "an event that isn't known", " ", (event.state, style))
    line.append(f"  {event.id}", "dim")
    parts: list[RenderableType] = [line]
    if event.state is State.RUNNING and event.progress is not None:
        parts.append(_bar(event.progress))
    if detail := detail_text(event, now):
        parts.append(Text(f"  {detail}", "red" if event.state is State.FAILED else "dim"))
    if event.failure is not None:
        lies = f"{event.failure.topic}/{event.failure.partition}/{event.failure.offset}"
        parts.append(Text(f"  dead letter {lies}", "dim"))
    return Group(*parts)


def _bar(progress: Progress) -> RenderableType:
    text = progress_text(progress)
    if progress.fraction is None:
        return Text(f"  {text}")
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=1.0, completed=progress.fraction, width=BAR_CHARACTERS)
    grid.add_row(" ", bar, f"{progress.fraction:4.0%}", text)
    return grid


def _payload(event_type: str, payload: object) -> Text:
    import json

    text = json.dumps(payload, indent=2, ensure_ascii=False)
    if len(text) > MOST_PAYLOAD_CHARACTERS:
        text = text[:MOST_PAYLOAD_CHARACTERS].rstrip() + "\n... (all of it with --json)"
    return Text.assemble((f"{event_type}\n", "bold"), text)


def _until(until: datetime, now: datetime) -> str:
    left = (until - now).total_seconds()
    day = "" if until.date() == now.date() else f"{until:%Y-%m-%d} "
    moment = f"{day}{until:%H:%M:%S} UTC"
    return f"until {moment}, in {span_text(left)}" if left > 0 else f"due since {moment}"
