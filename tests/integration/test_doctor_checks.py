"""`tidemill doctor` as people run it, on a real Kafka and registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from tests.integration.commands import Commands
from tidemill import Settings
from tidemill.cli.checkup import check_all, check_clock
from tidemill.cli.finding import Finding


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
        "streams": None,
        "archive": None,
        "dead letters": True,
        "gateway": None,
        "outbox": None,
        "scheduler": None,
        "tracker": None,
        "clock": True,
        "object store": True,
    }


def test_what_is_missing_is_named_with_the_command_that_makes_it(settings: Settings) -> None:
    found = findings(settings)
    assert found["topics"].ok is False
    assert f"missing: {settings.namespace}cleanup.done" in found["topics"].found
    assert "`tidemill topics apply`" in (found["topics"].next_step or "")
    assert found["schemas"].ok is False
    assert "cleanup.done" in found["schemas"].found
    assert "`tidemill schemas register`" in (found["schemas"].next_step or "")


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


def test_the_doctors_exit_status_tells_whether_all_is_well(contracts_ready: Settings, tidemill: Commands) -> None:
    well = tidemill("doctor")
    assert well.exit_code == 0, well.output
    assert well.output.count("✓") == 7
    rows = json.loads(tidemill("doctor", "--json").stdout)
    assert {row["name"]: row["ok"] for row in rows} == {
        "local stack": None,
        "broker": True,
        "registry": True,
        "topics": True,
        "schemas": True,
        "streams": None,
        "archive": None,
        "dead letters": True,
        "gateway": None,
        "outbox": None,
        "scheduler": None,
        "tracker": None,
        "clock": True,
        "object store": True,
    }


def test_the_doctor_shows_the_next_step_beside_a_cross(tidemill: Commands) -> None:
    ill = tidemill("doctor")
    assert ill.exit_code == 1
    assert "✗ topics" in ill.output
    assert "next: `tidemill topics diff` shows it, `tidemill topics apply` does it." in ill.output
    assert "✗ schemas" in ill.output
    assert "next: `tidemill schemas register` registers them." in ill.output


def test_a_broker_that_is_away_is_one_cross_with_how_to_start_it(contracts_ready: Settings, tidemill: Commands) -> None:
    ill = tidemill("doctor", TIDEMILL_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert ill.exit_code == 1
    assert ill.output.count("✗") == 1
    assert "✗ broker       No Kafka broker answers at 127.0.0.1:1" in ill.output
    assert "next: Start the local stack with `tidemill up`" in ill.output
    assert "- topics       not checked: no broker answers" in ill.output
    assert "✓ schemas" in ill.output


def test_a_registry_that_is_away_is_one_cross_with_how_to_start_it(
    contracts_ready: Settings, tidemill: Commands
) -> None:
    ill = tidemill("doctor", TIDEMILL_REGISTRY_URL="http://127.0.0.1:1/apis")
    assert ill.exit_code == 1
    assert ill.output.count("✗") == 1
    assert "✗ registry" in ill.output
    assert "http://127.0.0.1:1/apis" in ill.output
    assert "next: " in ill.output
    assert "tidemill up" in ill.output
    assert "- schemas      not checked: no registry answers" in ill.output
    assert "- clock        not checked: no registry answers" in ill.output
    assert "✓ topics" in ill.output
