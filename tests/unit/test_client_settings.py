"""The settings of consumers that documents promise something about."""

from __future__ import annotations

import pytest

from tidemill import broker, load_settings


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_consumer_looks_for_new_partitions_every_ten_seconds(protocol: str) -> None:
    config = broker.consumer_config(load_settings(group_protocol=protocol), "tidemill.image")
    assert config["topic.metadata.refresh.interval.ms"] == 10_000


def test_a_consumer_reads_what_is_committed_from_the_beginning_and_commits_nothing_by_itself() -> None:
    config = broker.consumer_config(load_settings(namespace="shop."), "tidemill.image")
    assert config["group.id"] == "shop.tidemill.image"
    assert config["isolation.level"] == "read_committed"
    assert config["auto.offset.reset"] == "earliest"
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False


def test_librdkafka_settings_of_one_s_own_win() -> None:
    config = broker.consumer_config(
        load_settings(kafka={"topic.metadata.refresh.interval.ms": "500"}), "tidemill.image"
    )
    assert config["topic.metadata.refresh.interval.ms"] == "500"
