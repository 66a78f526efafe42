"""How far the table of jobs is behind the topics. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from consumers.status.fold import read_offsets
from consumers.status.topics import partitions_there
from tidemill import broker

if TYPE_CHECKING:
    from consumers.status.facts import Place
    from tidemill.config import Settings
    from tidemill.jobs.database import Database

ASK_SECONDS = 10.0
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


def lag(settings: Settings, database: Database) -> int:
    """Messages that are committed in Kafka and not folded; offsets without a message may be among them.

    Raises:
        StatusUnavailable: There is no table, or its database doesn't answer.
        BrokerError: The cluster can't be asked.
    """
    with database.reading() as connection:
        offsets = read_offsets(connection)
    places = [(topic, number) for topic, numbers in partitions_there(settings).items() for number in numbers]
    try:
        begins = _offsets(settings, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(settings, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings) from error
    return sum(max(0, end - max(offsets.get(place, 0), begins.get(place, 0))) for place, end in ends.items())


def _offsets(settings: Settings, places: Iterable[Place], spec: OffsetSpec) -> Mapping[Place, int]:
    admin = broker.admin_client(settings)  # kept until the answers are there
    asked = {TopicPartition(*place): spec for place in places}
    found = {}
    answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ASK_SECONDS)
    for part, answer in answers.items():
        try:
            found[part.topic, part.partition] = answer.result(2 * ASK_SECONDS).offset
        except KafkaException as error:
            if error.args[0].code() not in _GONE:
                raise
    return found
