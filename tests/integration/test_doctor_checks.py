"""`tidemill doctor` and `tidemill publish` as people run them, on a real Kafka and registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tidemill import Settings, topics
from tidemill.cli import doctor, publish
from tidemill.cli.checkup import Finding, check_all, check_clock
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry

Run = Callable[..., Result]


@pytest.fixture
def contracts_ready(settings: Settings) -> Settings:
    """The topics and schemas of all known contracts are there."""
    known = topics.known_contracts(settings)
    topics.apply(settings, known)
    with Registry(settings) as registry:
        register_contracts(registry, known, dry_run=False)
    return settings


def findings(settings: Settings) -> Mapping[str, Finding]:
    return {finding.name: finding for finding in check_all(settings)}


def test_all_is_well_where_topics_and_schemas_are_there(contracts_ready: Settings) -> None:
    found = findings(contracts_ready)
    assert {name: finding.ok for name, finding in found.items()} == {
        "local stack": None,
        "broker": True,
        "registry": True,
        "topics": True,
        "schemas": True,
        "clock": True,
        "object store": True,
    }


def test_what_is_missing_is_named_with_the_command_that_makes_it(settings: Settings) -> None:
    found = findings(settings)
    assert found["topics"].ok is False
    assert f"missing: {settings.namespace}image.processed" in found["topics"].found
    assert "`tidemill topics apply`" in (found["topics"].next_step or "")
    assert found["schemas"].ok is False
    assert "image.requested" in found["schemas"].found
    assert "`tidemill schemas register`" in (found["schemas"].next_step or "")


def test_what_does_not_answer_is_told_once_and_what_rests_on_it_is_not_checked(settings: Settings) -> None:
    away = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "registry_url": "http://127.0.0.1:1/x"})
    found = findings(away)
    assert [name for name, finding in found.items() if finding.ok is False] == ["broker", "registry"]
    assert "`tidemill up`" in (found["broker"].next_step or "")
    assert found["topics"].found == "not checked: no broker answers"
    assert found["clock"].ok is None


def test_an_object_store_that_can_not_be_written_is_told(contracts_ready: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = contracts_ready.model_copy(update={"store_url": (tmp_path / "file").as_uri()})
    finding = findings(blocked)["object store"]
    assert finding.ok is False
    assert str(tmp_path / "file") in finding.found
    assert finding.next_step


def test_the_object_store_is_really_written_each_time(contracts_ready: Settings) -> None:
    probe = contracts_ready.state_dir / "objects" / "tidemill-doctor.txt"
    assert findings(contracts_ready)["object store"].ok
    first = probe.read_bytes()
    assert findings(contracts_ready)["object store"].ok
    assert probe.read_bytes() != first


def test_a_clock_that_is_off_is_told_with_by_how_much(settings: Settings) -> None:
    class FastClock(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(401)
            self.send_header("Date", "Fri, 01 Jan 2100 00:00:00 GMT")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), FastClock) as server:
        serving = Thread(target=server.handle_request)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/apis"
        finding = check_clock(settings.model_copy(update={"registry_url": url}))
        serving.join()
    assert finding.ok is False
    assert "s behind the registry's" in finding.found
    assert "NTP" in (finding.next_step or "")


@pytest.fixture
def run(settings: Settings) -> Run:
    """Runs `doctor` or `publish` with these settings."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(doctor.doctor)
    app.command()(publish.publish)
    environment = {
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "COLUMNS": "200",
    }

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(app, arguments, env=environment, **options)

    return run


def test_the_doctors_exit_status_tells_whether_all_is_well(contracts_ready: Settings, run: Run) -> None:
    well = run("doctor")
    assert well.exit_code == 0, well.output
    assert well.output.count("✓") == 6
    away = run("doctor", "--json", color=False)
    assert {row["ok"] for row in json.loads(away.stdout)} == {True, None}


def test_the_doctor_shows_the_next_step_beside_a_cross(run: Run) -> None:
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "✗ topics" in ill.output
    assert "next: `tidemill topics diff` shows it, `tidemill topics apply` does it." in ill.output


GOOD = '{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}'


def test_one_event_is_published_and_its_place_is_shown(contracts_ready: Settings, run: Run) -> None:
    shown = run("publish", "image.requested", "--json", GOOD, "--id", "abc", "--json-out")
    assert shown.exit_code == 0, shown.output
    place = json.loads(shown.stdout)
    assert place["id"] == "abc"
    assert place["topic"] == contracts_ready.qualified("image.requested")
    assert place["offset"] == 0
    text = run("publish", "image.requested", "--json", GOOD).output
    assert "✓ acknowledged" in text
    assert "offset     1" in text


def test_a_file_is_published_and_its_bad_lines_are_listed(contracts_ready: Settings, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(f'{GOOD}\n{{"source": 1, "renditions": []}}\n\nnonsense\n{GOOD}\n')
    done = run("publish", "image.requested", "--file", str(file))
    assert done.exit_code == 1
    assert "✗ 2 events acknowledged" in done.output
    assert "2 failed" in done.output
    assert "2  image.requested: field 'source' must be text, found 1 (int)." in done.output
    assert "4  It is not JSON: expecting value at column 1." in done.output
    assert sum(topics.cluster.event_counts(contracts_ready, topics.read_topics(contracts_ready, [
        contracts_ready.qualified("image.requested")
    ])).values()) == 2  # fmt: skip


def test_a_file_may_come_from_standard_input(contracts_ready: Settings, run: Run) -> None:
    done = run("publish", "image.requested", "--file", "-", "--json-out", input=f"{GOOD}\n{GOOD}\n")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["acknowledged"], report["failed"], report["finished"]) == (2, 0, True)


def test_strict_stops_at_the_first_bad_line(contracts_ready: Settings, run: Run) -> None:
    done = run("publish", "image.requested", "--file", "-", "--strict", input=f"{GOOD}\nbad\n{GOOD}\n")
    assert done.exit_code == 1
    assert "✗ 1 event acknowledged" in done.output
    assert "Stopped at line 2 (--strict)" in done.output


def test_a_dry_run_needs_neither_topic_nor_schema(run: Run) -> None:
    done = run("publish", "image.requested", "--json", GOOD, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "not sent: the event is in order" in done.output
    assert run("publish", "image.requested", "--json", "{}", "--dry-run").exit_code == 1


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
def test_what_can_not_be_done_is_said(run: Run, arguments: tuple[str, ...], status: int, message: str) -> None:
    done = run("publish", *arguments)
    assert done.exit_code == status
    assert message in done.output
