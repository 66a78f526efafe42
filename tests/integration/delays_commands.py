"""Runs `tidemill delayed ...` in this process, with the settings of a test."""

from __future__ import annotations

import typer
from typer.testing import CliRunner, Result

from scheduler.delayed_command import register
from tests.integration.commands import command_environment
from tidemill.config import Settings


class Delayed:
    """The commands, as a person would run them whose environment holds these settings."""

    def __init__(self, settings: Settings) -> None:
        self._app = typer.Typer(rich_markup_mode=None)
        register(self._app)
        self._app.command("other")(lambda: None)
        self._environment = command_environment(settings)

    def __call__(self, *arguments: str) -> Result:
        """Run `tidemill delayed ARGUMENTS`."""
        return CliRunner().invoke(self._app, ["delayed", *arguments], env=self._environment)
