"""A topic that the scheduler may not write to holds up no other: on a Kafka of its own that checks who may do what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from scheduler.delays import setbacks
from scheduler.delays.record import read_record
from tests.integration.delays_running import (
    committed_messages,
    prepare_delays,
    put_off,
    scheduling,
    until_dispatched,
    waits,
)
from tests.integration.working import wait_until
from tidemill import broker, delayed
from tidemill.config import Settings, load_settings
from tidemill.local import Stack

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings for a Kafka that allows everything but what is denied."""
    if os.environ.get("TIDEMILL_TEST_BROKER", "local") != "local":
        pytest.skip("the broker has to be started with an authorizer")
    own = load_settings(state_dir=tmp_path_factory.mktemp("guarded"), namespace="")
    with Stack.start(own, kafka_port=0, registry_port=0, timeout_seconds=150, kafka_settings=AUTHORIZER) as stack:
        yield load_settings(
            bootstrap_servers=stack.bootstrap_servers, registry_url=stack.registry_url, namespace="guarded."
        )


def test_a_topic_that_may_not_be_written_to_holds_up_no_other(
    guarded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setbacks, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(setbacks, "MOST_SECONDS", 0.5)
    prepare_delays(guarded)
    admin = broker.admin_client(guarded)
    _deny(admin, guarded.qualified("denied"))
    with scheduling(guarded):
        for partition in range(delayed.PARTITIONS):
            event_id = b"no-%d" % partition
            headers = delayed.packed(guarded.qualified("denied"), b"k", [("ce_id", event_id)], datetime.now(UTC))
            waits(guarded, event_id, b"v", headers, partition)
        due = put_off(guarded, {f"ok{number}": 0.2 * number for number in range(1, 20)})
        found = until_dispatched(guarded, {*due})
        late = [message.timestamp()[1] / 1000 - due[event_id].timestamp() for event_id, (message,) in found.items()]
        assert max(late) < 5.0, late
        with read_record(guarded) as record:
            assert record.count(topic=guarded.qualified("denied")) == delayed.PARTITIONS
        _allow(admin, guarded.qualified("denied"))
        wait_until(
            lambda: len(committed_messages(guarded, "denied")) == delayed.PARTITIONS, "they go once it is allowed"
        )


def _deny(admin: AdminClient, topic: str) -> None:
    """Make a topic that everybody may see, and nobody write to."""
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    who = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:*", "*")
    rules = [
        AclBinding(*who, AclOperation.ALL, AclPermissionType.ALLOW),
        AclBinding(*who, AclOperation.WRITE, AclPermissionType.DENY),
    ]
    for future in admin.create_acls(rules).values():
        future.result(20)


def _allow(admin: AdminClient, topic: str) -> None:
    what = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:*", "*")
    denials = AclBindingFilter(*what, AclOperation.WRITE, AclPermissionType.DENY)
    for future in admin.delete_acls([denials]).values():
        future.result(20)
