"""Fixtures for tests that need a real cluster: one that is ready for every contract, and commands to run on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from tests.integration.commands import Commands
from tests.integration.delays_commands import Delayed
from tests.integration.postgres import postgres
from tidemill import Settings, topics
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry

__all__ = ["postgres"]


@pytest.fixture
def contracts_ready(settings: Settings) -> Settings:
    """The topics and schemas of all known contracts are there."""
    known = topics.known_contracts(settings)
    topics.apply(settings)
    with Registry(settings) as registry:
        register_contracts(registry, known, dry_run=False)
    return settings


@pytest.fixture
def confluent(settings: Settings) -> Iterator[SchemaRegistryClient]:
    """Confluent's registry client, as another program would use it.

    With a time limit of ten seconds: without one it waits for ever where an answer is lost, and so tries nothing again.
    """
    with SchemaRegistryClient({"url": settings.registry_url, "timeout": 10}) as client:
        yield client


@pytest.fixture
def tidemill(settings: Settings) -> Commands:
    """Runs `tidemill doctor` or `tidemill publish` with these settings."""
    return Commands(settings)


@pytest.fixture
def delayed_command(settings: Settings) -> Delayed:
    """Runs `tidemill delayed` with these settings."""
    return Delayed(settings)
