"""What `tidemill doctor` says of the tracker, by the entry point `tidemill.checks`: does it keep up with the topics?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from consumers.status.lag import lag
from tidemill.cli.finding import Finding
from tidemill.errors import ConfigError, StatusUnavailable
from tidemill.jobs.database import Database

if TYPE_CHECKING:
    from tidemill.config import Settings

NAME = "tracker"
MOST_LAG = 10_000
"""Messages; a tracker that runs catches up with as many in a second or two."""
STANDS_SECONDS = 1.0
"""How long it is watched whether it moves."""


def check_tracker(settings: Settings) -> Finding:
    """Whether the table of jobs is there, and as far as the topics.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    try:
        database = Database(settings)
        if not database.exists:
            return Finding(NAME, None, f"no table of jobs in {database.shown}")
    except ConfigError as error:
        if settings.status_url is None:
            return Finding(NAME, None, "not installed here")
        return Finding(NAME, False, error.message.rstrip("."), error.hint)
    try:
        if before := lag(settings, database):
            # What came a moment ago is no fault yet.
            time.sleep(STANDS_SECONDS)
            now = lag(settings, database)
            if now >= before or now > MOST_LAG:
                return Finding(
                    NAME, False, f"the table of jobs is {now:,} messages behind the topics", "Run `tidemill tracker`."
                )
    except StatusUnavailable as error:
        if not error.retriable or settings.status_url is not None:
            return Finding(NAME, False, error.message.rstrip("."), error.hint)
        return Finding(NAME, None, error.message.rstrip("."))
    finally:
        database.close()
    return Finding(NAME, True, f"the table of jobs keeps up with the topics, {database.shown}")
