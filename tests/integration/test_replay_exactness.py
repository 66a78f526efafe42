"""The short form of `python -m tests.crash.replay_exactness`, without trouble of the broker's."""

from __future__ import annotations

from pathlib import Path

from tests.crash.replay_exactness import Storm
from tidemill.config import Settings


def test_exports_beside_transactions_compaction_and_deletions_are_what_a_slow_reader_finds(
    settings: Settings, tmp_path: Path
) -> None:
    outcome = Storm(settings, tmp_path, seed=11).run(1.5)
    assert outcome.faults == []
    assert outcome.counts["exports"] >= 3
    assert outcome.counts["events compared"] > 0
