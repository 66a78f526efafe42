"""From contracts to topics, and from what there is to what should be: computed, with nothing deleted or lowered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tidemill import ConfigError, ContractError, load_settings
from tidemill.broker import HEADROOM_BYTES
from tidemill.events import ImageProcessed, ImageRequested
from tidemill.topics import Topic, known_contracts, plan, wanted_topics
from tidemill.topics.plan import shown

SETTINGS = load_settings(namespace="staging.", max_event_bytes=1_000_000)
REQUESTED = ImageRequested.__contract__
DAY_MS = 86_400_000


def wanted(brokers: int = 3, **changes: object) -> dict[str, Topic]:
    contract = replace(REQUESTED, **changes)  # type: ignore[arg-type]
    return {topic.name: topic for topic in wanted_topics(SETTINGS, [contract], brokers=brokers)}


NAME = "staging.image.requested"


def test_each_contract_has_a_topic_and_one_for_its_dead_letters() -> None:
    topics = wanted_topics(SETTINGS, [REQUESTED, ImageProcessed.__contract__], brokers=3)
    assert [(topic.name, topic.partitions) for topic in topics] == [
        ("staging.image.processed", 12),
        ("staging.image.processed.dead", 3),
        ("staging.image.requested", 12),
        ("staging.image.requested.dead", 3),
    ]


def test_topics_are_set_as_the_contract_says() -> None:
    topic = wanted()[NAME]
    assert topic.config["retention.ms"] == str(7 * DAY_MS)
    assert topic.config["cleanup.policy"] == "delete"
    assert int(topic.config["max.message.bytes"]) > SETTINGS.max_event_bytes


def test_events_without_an_end_are_kept_forever() -> None:
    assert wanted(retention=None)[NAME].config["retention.ms"] == "-1"


def test_a_dead_letter_has_room_for_its_reason_and_time_for_a_person() -> None:
    topics = wanted(cleanup="compact", retention=timedelta(hours=1))
    event, dead = topics[NAME], topics[NAME + ".dead"]
    assert int(dead.config["max.message.bytes"]) == int(event.config["max.message.bytes"]) + HEADROOM_BYTES
    assert dead.config["retention.ms"] == str(30 * DAY_MS)
    assert dead.config["cleanup.policy"] == "delete"


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")])
def test_a_topic_survives_one_broker_where_there_are_enough(brokers: int, copies: int, in_sync: str) -> None:
    topic = wanted(brokers)[NAME]
    assert (topic.replication, topic.config["min.insync.replicas"]) == (copies, in_sync)


@pytest.mark.parametrize("replication", [0, 4])
def test_a_replication_that_can_not_be_had_is_refused(replication: int) -> None:
    with pytest.raises(ConfigError, match=r"can't be had of 3 broker\(s\)\. Give 1 to 3"):
        wanted_topics(SETTINGS, [REQUESTED], brokers=3, replication=replication)


def test_what_is_as_it_should_be_needs_no_change() -> None:
    topics = wanted()
    assert plan(topics.values(), topics) == []


def test_other_topics_are_left_alone() -> None:
    topics = wanted()
    other = Topic("other", 1, 1, {})
    assert plan(topics.values(), {**topics, "other": other}) == []


def test_a_missing_topic_is_created() -> None:
    first, second = plan(wanted().values(), {})
    assert (first.action, first.topic, first.found) == ("create", NAME, None)
    assert first.wanted == "12 partitions, 3 copies, keeps 7d"
    assert second.topic == NAME + ".dead"


def changes_of(there: Topic, **changes: Any) -> list[tuple[str, str, str | None, str, str]]:
    topics = wanted(**changes)
    found = plan(topics.values(), {**topics, NAME: there})
    return [(change.action, change.setting, change.found, change.wanted, change.note) for change in found]


def test_more_partitions_are_added_and_the_plan_says_what_becomes_of_keys() -> None:
    ((action, setting, found, wanted_, note),) = changes_of(replace(wanted()[NAME], partitions=6))
    assert (action, setting, found, wanted_) == ("add partitions", "partitions", "6", "12")
    assert "keys move to other partitions" in note


def test_without_keys_more_partitions_need_no_warning() -> None:
    ((action, *_, note),) = changes_of(replace(wanted()[NAME], partitions=6), key=None)
    assert (action, note) == ("add partitions", "")


def test_partitions_are_never_taken_away() -> None:
    there = replace(wanted()[NAME], partitions=24)
    ((action, setting, found, wanted_, note),) = changes_of(there)
    assert (action, setting, found, wanted_) == ("left as it is", "partitions", "24", "12")
    assert "can't be taken away" in note
    (change,) = plan([wanted()[NAME]], {NAME: there})
    assert not change.is_step


def test_copies_that_are_missing_are_said_and_writing_stays_possible() -> None:
    there = replace(wanted()[NAME], replication=1)
    there.config["min.insync.replicas"] = "1"
    ((action, setting, found, wanted_, note),) = changes_of(there)
    assert (action, setting, found, wanted_) == ("left as it is", "replication", "1", "3")
    assert "kafka-reassign-partitions" in note


def set_(name: str, value: str) -> Topic:
    there = wanted()[NAME]
    return replace(there, config={**there.config, name: value})


def test_a_shorter_retention_says_that_events_will_be_deleted() -> None:
    for found in (str(30 * DAY_MS), "-1"):
        ((action, setting, now, to, note),) = changes_of(set_("retention.ms", found))
        assert (action, setting, now, to) == ("set", "retention.ms", found, str(7 * DAY_MS))
        assert note == "events older than 7d will be deleted"


def test_a_longer_retention_needs_no_warning() -> None:
    ((*_, note),) = changes_of(set_("retention.ms", "1000"))
    assert note == ""
    ((*_, note),) = changes_of(set_("retention.ms", "1000"), retention=None)
    assert note == ""


def test_compaction_says_what_will_be_lost() -> None:
    ((*_, note),) = changes_of(wanted()[NAME], cleanup="compact")
    assert note == "of each key only the last event will be kept"


def test_the_order_of_cleanup_policies_means_nothing() -> None:
    assert changes_of(set_("cleanup.policy", "delete, compact"), cleanup="compact,delete") == []


@pytest.mark.parametrize(
    ("value", "text"), [("604800000", "7d"), ("-1", "forever"), ("1500", "1500ms"), ("90000", "90s"), (None, "")]
)
def test_a_retention_is_shown_as_people_write_it(value: str | None, text: str) -> None:
    assert shown("retention.ms", value) == text


AVSC = """{"type": "record", "name": "%s", "namespace": "shop", "fields": [{"name": "a", "type": "string"}],
 "tidemill": {"topic": "%s"}}"""


def test_a_folder_of_contracts_adds_those_that_are_not_installed(tmp_path: Path) -> None:
    (tmp_path / "order.placed.avsc").write_text(AVSC % ("OrderPlaced", "orders"))
    types = [contract.type for contract in known_contracts(load_settings(schemas_dir=tmp_path))]
    assert "order.placed" in types
    assert "image.requested" in types
    assert types == sorted(types)


def test_a_contract_of_the_folder_can_not_take_an_installed_ones_topic(tmp_path: Path) -> None:
    (tmp_path / "order.placed.avsc").write_text(AVSC % ("OrderPlaced", "image.requested"))
    with pytest.raises(ContractError, match=r"order\.placed\.avsc has the topic 'image\.requested'"):
        known_contracts(load_settings(schemas_dir=tmp_path))


def test_without_a_folder_the_installed_contracts_are_known(tmp_path: Path) -> None:
    assert known_contracts(load_settings(schemas_dir=tmp_path / "none"))
