"""`tidemill publish` as people run it, on a real Kafka and registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.commands import Commands
from tidemill import Settings, topics
from tidemill.topics.cluster import event_counts

GOOD = '{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}'

TYPO = '{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "widht": 200}]}'


def events_in_topic(settings: Settings) -> int:
    found = topics.read_topics(settings, [settings.qualified("image.requested")])
    return sum(event_counts(settings, found).values())


def test_one_event_is_published_and_its_place_is_shown(contracts_ready: Settings, tidemill: Commands) -> None:
    shown = tidemill("publish", "image.requested", "--json", GOOD, "--id", "abc", "--json-out")
    assert shown.exit_code == 0, shown.output
    place = json.loads(shown.stdout)
    assert place["id"] == "abc"
    assert place["topic"] == contracts_ready.qualified("image.requested")
    assert place["offset"] == 0
    text = tidemill("publish", "image.requested", "--json", GOOD).output
    assert "✓ acknowledged" in text
    assert "offset     1" in text


def test_a_file_is_published_and_its_bad_lines_are_listed(
    contracts_ready: Settings, tidemill: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(f'{GOOD}\n{{"source": 1, "renditions": []}}\n\nnonsense\n{GOOD}\n')
    done = tidemill("publish", "image.requested", "--file", str(file))
    assert done.exit_code == 1
    assert "✗ 2 events acknowledged" in done.output
    assert "2 failed" in done.output
    assert "2  image.requested: field 'source' must be text, found 1 (int)." in done.output
    assert "4  It is not JSON: expecting value at column 1." in done.output
    assert events_in_topic(contracts_ready) == 2


def test_a_file_may_come_from_standard_input(contracts_ready: Settings, tidemill: Commands) -> None:
    done = tidemill("publish", "image.requested", "--file", "-", "--json-out", input=f"{GOOD}\n{GOOD}\n")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["acknowledged"], report["failed"], report["finished"]) == (2, 0, True)


def test_strict_stops_at_the_first_bad_line(contracts_ready: Settings, tidemill: Commands) -> None:
    done = tidemill("publish", "image.requested", "--file", "-", "--strict", input=f"{GOOD}\nbad\n{GOOD}\n")
    assert done.exit_code == 1
    assert "✗ 1 event acknowledged" in done.output
    assert "Stopped at line 2 (--strict)" in done.output


def test_a_dry_run_needs_neither_topic_nor_schema(tidemill: Commands) -> None:
    done = tidemill("publish", "image.requested", "--json", GOOD, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "not sent: the event is in order" in done.output
    assert tidemill("publish", "image.requested", "--json", "{}", "--dry-run").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("image.requsted", "--json", GOOD), 1, "Did you mean 'image.requested'?"),
        (("image.requested", "--json", GOOD), 1, "doesn't exist"),
        (("image.requested", "--json", "{"), 1, "It is not JSON"),
        (("image.requested", "--file", "none.ndjson"), 1, "none.ndjson can't be read: No such file or directory."),
        (("image.requested",), 2, "Give the event with --json, or a file of them with --file."),
        (("image.requested", "--json", GOOD, "--file", "-"), 2, "Give the event with --json, or a file"),
        (("image.requested", "--file", "-", "--id", "x"), 2, "--id is for one event"),
        (("image.requested", "--json", GOOD, "--header", "x"), 2, "A header is NAME=VALUE, found 'x'."),
        (("image.requested", "--json", GOOD, "--header", "ce_id=1", "-n"), 1, "Header 'ce_id' belongs to the envelope"),
    ],
)
def test_what_can_not_be_done_is_said(
    tidemill: Commands, arguments: tuple[str, ...], status: int, message: str
) -> None:
    done = tidemill("publish", *arguments)
    assert done.exit_code == status
    assert message in done.output


def test_an_unknown_field_is_refused_with_the_one_that_was_meant(contracts_ready: Settings, tidemill: Commands) -> None:
    done = tidemill("publish", "image.requested", "--json", TYPO)
    assert done.exit_code == 1
    assert "error: image.requested: " in done.output
    assert "'widht'" in done.output
    assert "next:  Did you mean 'width'?" in done.output
    assert events_in_topic(contracts_ready) == 0


def test_a_dry_run_of_a_file_checks_every_line_and_sends_none(contracts_ready: Settings, tidemill: Commands) -> None:
    done = tidemill("publish", "image.requested", "--file", "-", "--dry-run", input=f"{GOOD}\n{TYPO}\n{GOOD}\n")
    assert done.exit_code == 1
    assert "✗ 2 events in order, nothing was sent" in done.output
    assert "1 failed" in done.output
    assert "'widht'" in done.output
    assert events_in_topic(contracts_ready) == 0


def test_a_schema_that_is_not_registered_is_told_with_the_command_that_registers_it(
    settings: Settings, tidemill: Commands
) -> None:
    topics.apply(settings, topics.known_contracts(settings))
    done = tidemill("publish", "image.requested", "--json", GOOD)
    assert done.exit_code == 1
    assert "doesn't have this schema" in done.output
    assert "tidemill schemas register" in done.output
    of_a_file = tidemill("publish", "image.requested", "--file", "-", input=f"{GOOD}\n" * 3)
    assert of_a_file.exit_code == 1
    assert of_a_file.output.count("tidemill schemas register") == 1
    assert events_in_topic(settings) == 0


def test_a_broker_that_is_away_is_told_with_how_to_start_it(tidemill: Commands) -> None:
    command = ("publish", "image.requested", "--json", GOOD, "--timeout", "1")
    done = tidemill(*command, TIDEMILL_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.exit_code == 1
    assert "error: No Kafka broker answers at 127.0.0.1:1" in done.output
    assert "next:  Start the local stack with `tidemill up`" in done.output


def test_a_registry_that_is_away_is_told(contracts_ready: Settings, tidemill: Commands) -> None:
    command = ("publish", "image.requested", "--json", GOOD)
    done = tidemill(*command, TIDEMILL_REGISTRY_URL="http://127.0.0.1:1/apis")
    assert done.exit_code == 1
    assert "http://127.0.0.1:1/apis" in done.output
    assert "next: " in done.output
    assert events_in_topic(contracts_ready) == 0
