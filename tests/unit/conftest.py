"""Fixtures of several unit tests. Nothing here starts a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.engine_bench import MakeBench, benches
from tidemill.runtime import burial


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeBench]:
    """Makes engines over played outputs; while a dead letter can't be written, they hold an event only briefly."""
    monkeypatch.setattr(burial, "HOLD_FIRST_SECONDS", 0.005)
    async with benches() as make:
        yield make
