"""Runs `tidemill doctor`, `publish` and `cancel` in this process, with the settings of a test."""

from __future__ import annotations

import typer
from typer.testing import CliRunner, Result

from tidemill import Settings
from tidemill.cli import cancel, doctor, publish


def command_environment(settings: Settings) -> dict[str, str]:
    """What a person's environment holds who runs commands with these settings, on a wide terminal."""
    return {
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "COLUMNS": "200",
    }


class Commands:
    """The commands, as a person would run them whose environment holds these settings."""

    def __init__(self, settings: Settings) -> None:
        self._app = typer.Typer(rich_markup_mode=None)
        self._app.command()(doctor.doctor)
        self._app.command()(publish.publish)
        self._app.command()(cancel.cancel)
        self._environment = command_environment(settings)

    def __call__(self, *arguments: str, input: str | None = None, **environment: str) -> Result:
        """Run `tidemill ARGUMENTS`; what `environment` names wins over the settings."""
        return CliRunner().invoke(self._app, arguments, input=input, env={**self._environment, **environment})
