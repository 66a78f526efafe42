"""Replay: a topic, or any part of it, as a table; and published again.

    from tidemill import replay

    replay.scan("image.processed", start="2h").to_pandas()

Reads without a consumer group, so that nothing of the live groups changes. Needs the extra `replay`; must not import
the runtime.
"""

from __future__ import annotations

from tidemill.replay.ranges import Gap
from tidemill.replay.scan import Estimate, Scan, scan
from tidemill.replay.sql import Answer, sql
from tidemill.replay.tally import Quarantined, Tally

__all__ = ["Answer", "Estimate", "Gap", "Quarantined", "Scan", "Tally", "scan", "sql"]
