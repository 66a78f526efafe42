"""The topic that the relays keep their books in: which rows each lane has moved last."""

from __future__ import annotations

from tidemill.outbox.ddl import LANES
from tidemill.topics.house import HouseTopic

BOOKS = HouseTopic("outbox.books", LANES, "which rows of each outbox were published last")
"""Each outbox's lane has a key of its own, in the partition of the lane's number."""

TOPICS = [BOOKS]
"""For the entry point `tidemill.topics`."""
