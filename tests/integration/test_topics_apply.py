"""Topics in a real cluster: made from contracts, altered, never lowered or deleted; and the command that does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from tidemill import BrokerUnreachable, Settings, topics
from tidemill.cli.topics import app
from tidemill.events import ImageProcessed, ImageRequested

CONTRACTS = [ImageRequested.__contract__, ImageProcessed.__contract__]
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """Runs `tidemill topics ...` with these settings."""
    environment = {
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_SCHEMAS_DIR": str(settings.state_dir / "none"),
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner().invoke(app, arguments, env=environment)


def test_topics_are_as_their_contracts_say(settings: Settings) -> None:
    changes = topics.apply(settings, CONTRACTS)
    assert {change.action for change in changes} == {"create"}
    there = topics.read_topics(settings, [settings.qualified("image.requested")])
    topic = there[settings.qualified("image.requested")]
    assert (topic.partitions, topic.replication) == (12, 1)
    assert topic.config["retention.ms"] == str(7 * 86_400_000)
    assert topics.difference(settings, CONTRACTS) == []


def test_applying_again_changes_nothing(settings: Settings) -> None:
    topics.apply(settings, CONTRACTS)
    assert topics.apply(settings, CONTRACTS) == []


def test_several_at_once_do_not_disturb_each_other(settings: Settings) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: topics.apply(settings, CONTRACTS), range(6)))
    assert topics.difference(settings, CONTRACTS) == []
    grown = [replace(contract, partitions=14) for contract in CONTRACTS]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: topics.apply(settings, grown), range(6)))
    assert topics.difference(settings, grown) == []


def test_a_changed_contract_changes_its_topic(settings: Settings) -> None:
    topics.apply(settings, CONTRACTS[:1])
    changed = replace(CONTRACTS[0], partitions=13, retention=timedelta(hours=1), cleanup="compact,delete")
    changes = topics.apply(settings, [changed])
    assert {(change.action, change.setting) for change in changes} == {
        ("add partitions", "partitions"),
        ("set", "retention.ms"),
        ("set", "cleanup.policy"),
    }
    assert topics.difference(settings, [changed]) == []


def test_partitions_are_not_lowered(settings: Settings) -> None:
    topics.apply(settings, CONTRACTS[:1])
    lower = replace(CONTRACTS[0], partitions=4)
    assert [change.action for change in topics.apply(settings, [lower])] == ["left as it is"]
    name = settings.qualified("image.requested")
    assert topics.read_topics(settings, [name])[name].partitions == 12


def test_a_cluster_that_does_not_answer_is_named(settings: Settings) -> None:
    away = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1.*`tidemill up`"):
        topics.apply(away, CONTRACTS)


def test_diff_fails_until_apply_has_run_and_a_dry_run_changes_nothing(run: Run) -> None:
    assert run("diff").exit_code == 1
    dry = run("apply", "--dry-run")
    assert dry.exit_code == 0
    assert "changes would be done" in dry.output
    assert run("diff").exit_code == 1
    done = run("apply")
    assert (done.exit_code, "changes done" in done.output) == (0, True)
    after = run("diff")
    assert (after.exit_code, after.output) == (0, "✓ every topic is as its contract says\n")


def test_the_list_shows_what_is_there_and_what_is_missing(settings: Settings, run: Run) -> None:
    before = run("list")
    assert before.exit_code == 0
    assert "are not there. `tidemill topics apply` makes them." in before.output
    topics.apply(settings)
    listed = run("list", "--json")
    assert listed.exit_code == 0, listed.output
    rows = {row["topic"]: row for row in json.loads(listed.stdout)}
    row = rows[settings.qualified("image.requested")]
    assert (row["partitions"], row["retention"], row["events"], row["contract"]) == (12, "7d", 0, "image.requested")
    assert "image.requested.dead" in run("list").output


def test_changes_are_also_json(run: Run) -> None:
    rows = json.loads(run("apply", "--json").stdout)
    assert {row["action"] for row in rows} == {"create"}
    assert json.loads(run("diff", "--json").stdout) == []


def test_a_replication_that_the_cluster_can_not_give_is_refused(run: Run) -> None:
    refused = run("apply", "--replication", "3")
    assert refused.exit_code == 1
    assert "A replication of 3 can't be had of 1 broker(s)." in refused.output
