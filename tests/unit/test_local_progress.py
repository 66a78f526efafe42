"""What `tidemill up` shows where there is no terminal, as in CI's log."""

from __future__ import annotations

import io

from rich.console import Console

from tidemill.cli.stack_progress import TerminalProgress


def test_a_log_gets_one_line_a_stage_and_no_bars() -> None:
    written = io.StringIO()
    with TerminalProgress(Console(file=written, width=80)) as progress:
        progress.fetch_started("Apache Kafka 4.3.1", 45_000_000)
        progress.fetch_advanced("Apache Kafka 4.3.1", 45_000_000)
        progress.fetch_finished("Apache Kafka 4.3.1")
        progress.stage("Starting [Kafka]")
        progress.stage("Starting [Kafka]")
    assert written.getvalue().splitlines() == [
        "Fetching Apache Kafka 4.3.1, 45 MB (once)",
        "✓ Apache Kafka 4.3.1 fetched and verified",
        "Starting [Kafka]",
    ]


def test_a_terminal_keeps_only_what_was_fetched() -> None:
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None)
    with TerminalProgress(console) as progress:
        for title in ("Apache Kafka 4.3.1", "Apicurio Registry 3.3.3"):
            progress.fetch_started(title, 1000)
            progress.fetch_advanced(title, 1000)
            progress.fetch_finished(title)
        progress.stage("Starting Kafka")
    kept = [line for line in written.getvalue().split("\n") if "fetched" in line or "Fetching" in line]
    assert written.getvalue().count("Fetching what the local stack runs (once).") == 1
    assert len(kept) == 3
