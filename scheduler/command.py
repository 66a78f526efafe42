"""The scheduler's commands, by the entry point `tidemill.commands`: `scheduler` runs it, the others ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scheduler import delayed_command, schedule_command
from tidemill.cli.terminal import command

EPILOG = """
\b
Examples:
  tidemill scheduler                       emit what is in force: delayed events, and jobs that were applied
  tidemill scheduler --jobs jobs.toml      put this schedule into force, now and whenever the file changes

\b
Run two or more: they share the work, and each takes over what another one leaves.
"""


@command
def scheduler(
    jobs: Annotated[
        Path | None, typer.Option("--jobs", help="Schedule to put into force, now and whenever it changes.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where delayed events are kept at hand; default: the temporary folder."),
    ] = None,
) -> None:
    """Run the clock: emits the ticks of periodic jobs, and delayed events when they are due."""
    from scheduler.service import Service
    from tidemill.config import load_settings
    from tidemill.service import collect_seldom, until_told
    from tidemill.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    service = Service(settings, jobs_file=jobs, folder=folder)
    until_told(service.stop)
    collect_seldom()
    service.run()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EPILOG)(scheduler)
    app.add_typer(schedule_command.app, name="schedule")
    app.add_typer(delayed_command.app, name="delayed")
