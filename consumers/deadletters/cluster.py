"""Where the desk's topics begin and end, and which topics they are. Asks the cluster and reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill import broker

if TYPE_CHECKING:
    from tidemill.config import Settings

ASK_SECONDS = 10.0
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC)

Part = tuple[str, int]
"""Topic with the namespace, and partition."""


@dataclass(frozen=True)
class Extent:
    """What topics hold at a moment; those that were deleted meanwhile are left out."""

    topic_ids: Mapping[str, str]
    """By topic with the namespace; another one after it was deleted and made again (KIP-516)."""
    begins: Mapping[Part, int]
    ends: Mapping[Part, int]
    """The offset after the last record, be it hidden by an open transaction."""


class Cluster:
    """Questions about topics, over one connection. Every method raises BrokerError where the cluster can't be asked.

    Args:
        settings: Addresses, security.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = broker.admin_client(settings)

    def topics(self) -> list[str]:
        """Names of all topics, with the namespace."""
        try:
            return sorted(self._admin.list_topics(timeout=ASK_SECONDS).topics)
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error

    def topic_ids(self, topics: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
        """Ids and partitions of topics, by name; those that aren't there are left out."""
        if not topics:
            return {}
        found = {}
        answers = self._admin.describe_topics(TopicCollection([*topics]), request_timeout=ASK_SECONDS)
        for name, future in answers.items():
            described = self._answer(future, name)
            if described is not None:
                found[name] = (str(described.topic_id), [part.id for part in described.partitions])
        return found

    def extent(self, topics: Sequence[str]) -> Extent:
        """What topics hold now.

        Args:
            topics: With the namespace.
        """
        described = self.topic_ids(topics)
        parts = [(name, number) for name, (_, numbers) in described.items() for number in numbers]
        begins = self._offsets(parts, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self._offsets(parts, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        both = begins.keys() & ends.keys()
        return Extent(
            {name: identity for name, (identity, _) in described.items()},
            {part: begins[part] for part in both},
            {part: ends[part] for part in both},
        )

    def _offsets(self, parts: Iterable[Part], spec: OffsetSpec) -> dict[Part, int]:
        asked = {TopicPartition(*part): spec for part in parts}
        if not asked:
            return {}
        found = {}
        for part, future in self._admin.list_offsets(asked, request_timeout=ASK_SECONDS).items():
            answer = self._answer(future, part.topic)
            if answer is not None:
                found[part.topic, part.partition] = answer.offset
        return found

    def _answer(self, future: Any, topic: str) -> Any:
        """The answer to a question; None where there is no such topic."""
        try:
            return future.result(2 * ASK_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in _GONE:
                return None
            if error.args[0].code() == KafkaError._TIMED_OUT:
                raise broker.unreachable(self._settings, f"no answer within {ASK_SECONDS:g} s") from error
            raise broker.from_kafka(error.args[0], self._settings, topic=topic) from error
