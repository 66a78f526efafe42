"""For tests of the scheduler: one in a thread, `tidemill schedule` with their settings, ticks as readers see them."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from scheduler import command
from scheduler.log import read_log
from scheduler.service import Service
from tests.integration.commands import command_environment
from tests.integration.working import wait_until
from tidemill.cli.app import prepare_contracts
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import ImageRequested, ScheduleSkipped, ScheduleTick

END_SECONDS = 20.0
EVENT = """
[job.emit]
type = "image.requested"
[job.emit.payload]
source = "file:///pictures/{{ job }}-{{ sequence }}.jpg"
renditions = []
"""


def job(name: str, timing: str = 'every = "1s"', more: str = "") -> str:
    """A `[[job]]` of a jobs.toml."""
    return f'[[job]]\nname = "{name}"\n{timing}\n{more}\n'


class Clockwork:
    """A cluster that is ready for schedulers, and what a person does with it.

    Args:
        settings: Of the test.
        folder: For jobs.toml.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.file = folder / "jobs.toml"
        self.logs: list[MutableMapping[str, Any]] = []
        """What the latest scheduler has logged."""
        self._app = typer.Typer(rich_markup_mode=None)
        command.register(self._app)
        self._environment = command_environment(settings)

    def prepare(self) -> None:
        """Make topics and register schemas."""
        list(prepare_contracts(self.settings))

    def write(self, *jobs: str) -> Path:
        """Write jobs.toml, at once as an editor does."""
        draft = self.file.with_suffix(".draft")
        draft.write_text("".join(jobs), encoding="utf-8")
        return draft.rename(self.file)

    def run(self, *arguments: str | Path) -> Result:
        """Run `tidemill ARGUMENTS`."""
        return CliRunner().invoke(self._app, [str(each) for each in arguments], env=self._environment)

    def schedule(self, *arguments: str | Path) -> str:
        """Run `tidemill schedule ARGUMENTS`, which must go well; returns all that it says."""
        result = self.run("schedule", *arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def ask(self, *arguments: str | Path) -> Any:
        """The same with `--json`; returns what it prints."""
        result = self.run("schedule", *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def explain(self, name: str, moment: datetime) -> dict[str, Any]:
        """Why a job ran at a time, or didn't."""
        found: dict[str, Any] = self.ask("explain", name, moment.isoformat())
        return found

    @contextmanager
    def scheduler(self, *, with_file: bool = True) -> Iterator[Service]:
        """A scheduler in a thread for the time of the block; it has its partitions."""
        ready = threading.Event()
        service = Service(
            self.settings,
            jobs_file=self.file if with_file else None,
            folder=self.file.parent,
            on_ready=ready.set,
        )
        failures: list[BaseException] = []

        def run() -> None:
            try:
                service.run()
            except BaseException as error:  # noqa: BLE001 - raised by the test's own thread
                failures.append(error)

        thread = threading.Thread(target=run, name="scheduler of a test")
        # Or its log would be among what commands print.
        with capture_logs() as self.logs:
            thread.start()
            try:
                wait_until(lambda: ready.is_set() or failures, "the scheduler is ready")
                if not failures:
                    yield service
            finally:
                service.stop()
                thread.join(END_SECONDS)
        assert not thread.is_alive(), "the scheduler doesn't end"
        if failures:
            raise failures[0]

    def ticks_by_job(self) -> dict[str, list[Tick]]:
        """The committed ticks of each job, in the order of the topic."""
        found: dict[str, list[Tick]] = defaultdict(list)
        for payload, event, offset in self._read(ScheduleTick):
            found[payload.job].append(Tick(payload, event.id, offset))
        return found

    def ticks(self, name: str) -> list[Tick]:
        """Those of one job."""
        return self.ticks_by_job()[name]

    def until_later(self, names: Sequence[str], moment: datetime) -> dict[str, list[Tick]]:
        """Wait until jobs have ticks of times after a moment; returns the ticks of all jobs."""

        def are_later() -> bool:
            found = self.ticks_by_job()
            return all(found[name] and found[name][-1].at > moment for name in names)

        wait_until(are_later, f"{', '.join(names)} have ticks after {moment}")
        return self.ticks_by_job()

    def skips(self, name: str) -> list[ScheduleSkipped]:
        """What was skipped of a job."""
        return [payload for payload, _, _ in self._read(ScheduleSkipped) if payload.job == name]

    def events(self) -> list[Event[ImageRequested]]:
        """What jobs have emitted."""
        return [event for _, event, _ in self._read(ImageRequested)]

    def until_ticks(self, name: str, count: int) -> list[Tick]:
        """Wait for so many ticks of a job."""
        wait_until(lambda: len(self.ticks(name)) >= count, f"{count} ticks of {name}")
        return self.ticks(name)

    def _read(self, cls: type[Payload]) -> list[tuple[Any, Event[Any], int]]:
        with Registry(self.settings) as registry:
            codec = Codec(registry)
            found = []
            for message in read_log(self.settings, cls.__contract__.topic):
                payload = codec.decode(message.value(), cls)
                found.append((payload, Event.received(payload, message), message.offset() or 0))
            return found


@dataclass(frozen=True)
class Tick:
    """A tick, as a reader of committed events has it."""

    payload: ScheduleTick
    id: str
    offset: int

    @property
    def at(self) -> datetime:
        """Its scheduled time."""
        return self.payload.scheduled_at


def wait_past(moment: datetime) -> None:
    """Wait until a time of the clock has passed."""
    wait_until(lambda: datetime.now(UTC) > moment, f"it is past {moment}")


def seconds_of(ticks: list[Tick]) -> list[float]:
    """The scheduled times of ticks, seconds since 1970."""
    return [tick.at.timestamp() for tick in ticks]
