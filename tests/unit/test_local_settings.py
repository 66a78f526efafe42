"""What Kafka and the registry are told, computed without starting them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.local import kafka, registry
from tidemill.local.kafka import Node
from tidemill.local.layout import Layout

THREE = [Node(1, 9092, 20001), Node(2, 9093, 20002), Node(3, 9094, 20003)]


def test_one_broker_can_make_its_internal_topics_alone() -> None:
    settings = kafka.node_settings(THREE[0], THREE[:1], Path("/data"), {})
    replicas = {name: value for name, value in settings.items() if name.endswith("replication.factor")}
    assert set(replicas.values()) == {"1"}
    assert settings["min.insync.replicas"] == settings["transaction.state.log.min.isr"] == "1"


def test_three_brokers_replicate_three_times_and_write_with_one_lost() -> None:
    settings = kafka.node_settings(THREE[1], THREE, Path("/data"), {})
    replicas = {name: value for name, value in settings.items() if name.endswith("replication.factor")}
    assert set(replicas.values()) == {"3"}
    assert settings["min.insync.replicas"] == settings["transaction.state.log.min.isr"] == "2"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:20001,2@127.0.0.1:20002,3@127.0.0.1:20003"
    assert settings["advertised.listeners"] == "CLIENT://127.0.0.1:9093"
    assert kafka.bootstrap_servers(THREE) == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"


def test_a_broker_listens_on_the_loopback_alone_and_makes_no_topic_by_itself() -> None:
    settings = kafka.node_settings(THREE[0], THREE[:1], Path("/data"), {})
    assert settings["listeners"] == "CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:20001"
    assert settings["auto.create.topics.enable"] == "false"


def test_own_broker_settings_win() -> None:
    settings = kafka.node_settings(THREE[0], THREE[:1], Path("/data"), {"min.insync.replicas": "7", "log.roll.ms": "5"})
    assert (settings["min.insync.replicas"], settings["log.roll.ms"]) == ("7", "5")


def test_a_killed_worker_is_noticed_within_six_seconds() -> None:
    settings = kafka.node_settings(THREE[0], THREE[:1], Path("/data"), {})
    assert int(settings["group.consumer.session.timeout.ms"]) == 6000
    assert int(settings["group.consumer.min.session.timeout.ms"]) <= 6000


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/home/anna/.local", "/home/anna/.local"),
        ("/home/änne/x", "/home/\\u00e4nne/x"),
        ("/home/\U0001f30a", "/home/\\ud83c\\udf0a"),
        ("a\\b", "a\\\\b"),
    ],
)
def test_a_properties_file_holds_any_path(value: str, written: str) -> None:
    assert kafka.properties({"log.dirs": value}) == f"log.dirs={written}\n"


def test_a_cluster_id_has_the_form_that_kafka_expects() -> None:
    ids = {kafka.new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(cluster_id) == 22 and not cluster_id.startswith("-") for cluster_id in ids)


def test_the_registry_listens_on_the_loopback_alone_with_its_management_port_too(tmp_path: Path) -> None:
    properties = registry.system_properties(Layout(tmp_path), 8081, 20009)
    assert properties["quarkus.http.host"] == properties["quarkus.management.host"] == "127.0.0.1"
    assert (properties["quarkus.http.port"], properties["quarkus.management.port"]) == ("8081", "20009")


def test_the_registry_keeps_schemas_in_the_state_folder_and_syncs_each_commit(tmp_path: Path) -> None:
    url = registry.system_properties(Layout(tmp_path), 8081, 20009)["apicurio.datasource.url"]
    assert url == f"jdbc:h2:file:{tmp_path}/registry/schemas;WRITE_DELAY=0"


def test_every_program_carries_the_marks_it_is_recognised_by(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    broker = kafka.program(tmp_path, layout, THREE[0], "abc", ())
    schemas = registry.program(tmp_path, layout, 8081, 20009, "abc", ())
    for program in (broker, schemas):
        assert "-Dtidemill.stack=abc" in program.command
        assert f"-Dtidemill.state={tmp_path}" in program.command
