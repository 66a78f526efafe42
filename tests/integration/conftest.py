"""Fixtures for tests that need a real cluster: one that is ready for every contract, and commands to run on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pytest
import typer
from typer.testing import CliRunner, Result

from tidemill import Settings, topics
from tidemill.cli import doctor, publish
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry


class RunCommand(Protocol):
    """Runs `tidemill ARGUMENTS` with the test's settings."""

    def __call__(
        self, *arguments: str, input: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Result: ...


@pytest.fixture
def contracts_ready(settings: Settings) -> Settings:
    """The topics and schemas of all known contracts are there."""
    known = topics.known_contracts(settings)
    topics.apply(settings, known)
    with Registry(settings) as registry:
        register_contracts(registry, known, dry_run=False)
    return settings


@pytest.fixture
def run_command(settings: Settings) -> RunCommand:
    """Runs `doctor` or `publish`; what `environment` names wins over the settings."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(doctor.doctor)
    app.command()(publish.publish)
    own = {
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "COLUMNS": "200",
    }

    def run(*arguments: str, input: str | None = None, environment: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=input, env={**own, **(environment or {})})

    return run
