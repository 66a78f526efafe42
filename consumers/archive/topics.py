"""Which topics are archived: those that were named, or all that have a contract, and their dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill import broker
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import UnknownTopic
from tidemill.topics import known_contracts

if TYPE_CHECKING:
    from tidemill.config import Settings


def topics_there(settings: Settings, named: Sequence[str] | None) -> list[str]:
    """Topics that exist, without the namespace.

    Args:
        settings: Addresses, namespace, contracts.
        named: Without the namespace; None for those of all contracts and of their dead letters.

    Raises:
        UnknownTopic: One that was named doesn't exist.
        BrokerError: The cluster can't be asked.
    """
    there = broker.cluster_metadata(settings).topics
    names = [each.removeprefix(settings.namespace) for each in there if each.startswith(settings.namespace)]
    if named is None:
        wanted = {name for contract in known_contracts(settings) for name in (contract.topic, contract.dead_topic)}
        return sorted(wanted & {*names})
    for topic in named:
        if topic not in names:
            raise UnknownTopic(
                f"Topic {topic!r} doesn't exist at {settings.bootstrap_servers}.",
                hint=did_you_mean(topic, names) or "`tidemill topics list` shows those that do.",
            )
    return list(dict.fromkeys(named))
