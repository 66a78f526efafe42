"""The application: which commands it has."""

from __future__ import annotations

import pytest
import typer

from tidemill.cli.app import build


def names(app: typer.Typer) -> set[str]:
    return set(typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["schedule", "list"], ["no-such-command"], ["--version", "worker"]]
)
def test_all_commands_are_there_unless_one_of_the_library_is_asked_for(arguments: list[str]) -> None:
    assert {"worker", "replay", "schedule", "gateway", "dead", "archive"} <= names(build(arguments))


@pytest.mark.parametrize("command", ["up", "worker", "publish", "topics", "replay", "cancel"])
def test_a_command_of_the_library_starts_without_those_of_other_packages(command: str) -> None:
    found = names(build([command, "--help"]))
    assert command in found
    assert "schedule" not in found
