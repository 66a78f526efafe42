"""The jobs of the ticks' storm: one of every second each, a share of them with an event to emit. Computes only."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.events import ImageRequested

EMITTED = ImageRequested
EMIT_EVERY = 3
"""Each third job emits an event."""


def names(count: int) -> list[str]:
    """Names of so many jobs."""
    return [f"second-{number:04}" for number in range(count)]


def emits(name: str) -> bool:
    """Whether a job emits an event beside its tick."""
    return int(name.rpartition("-")[2]) % EMIT_EVERY == 0


def jobs_toml(count: int, *, every: str = "1s") -> str:
    """A schedule in which every time counts: `missed = "all"`."""
    return "\n".join(_job(name, every) for name in names(count))


def _job(name: str, every: str) -> str:
    text = f'[[job]]\nname = "{name}"\nevery = "{every}"\nmissed = "all"\nmissed_limit = 10000\n'
    if not emits(name):
        return text
    return text + (
        f'[job.emit]\ntype = "{EMITTED.__contract__.type}"\n'
        '[job.emit.payload]\nsource = "file:///pictures/{{ job }}/{{ sequence }}.jpg"\n'
        'renditions = [{ name = "thumb", width = 200 }]\n'
    )


def emitting(jobs: Sequence[str]) -> set[str]:
    """Those of some jobs that emit events."""
    return {name for name in jobs if emits(name)}
