"""Which topics there are to send to: asked of the brokers before a producer would wait seconds for an unknown one."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tidemill import broker
from tidemill.config import Settings
from tidemill.errors import BrokerError
from tidemill.telemetry import get_logger


class Destinations:
    """Topics that are known to exist.

    Args:
        names: Gives the names of all topics of the cluster, with the namespace.
    """

    def __init__(self, names: Callable[[], Collection[str]]) -> None:
        self._names = names
        self._known: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Destinations:
        """Those of the cluster."""
        return cls(lambda: broker.cluster_metadata(settings).topics.keys())

    def missing(self, topics: Collection[str]) -> set[str]:
        """Those that don't exist; asks the cluster only about one that isn't known yet."""
        if not self._known.issuperset(topics):
            try:
                self._known = frozenset(self._names())
            except BrokerError as error:
                # Then the transaction will tell.
                get_logger("scheduler").warning("can't ask which topics exist", error=str(error))
                return set()
        return {*topics} - self._known

    def forget(self, topic: str) -> None:
        """It was refused as unknown: ask anew next time."""
        self._known -= {topic}
