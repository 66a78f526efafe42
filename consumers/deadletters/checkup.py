"""What `tidemill doctor` says of dead letters, by the entry point `tidemill.checks`: how many are open, by stream.

Reads the index as it is and changes nothing; what isn't indexed yet is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.deadletters.cluster import Cluster
from consumers.deadletters.listing import NO_STREAM
from consumers.deadletters.settings import load_dead_settings
from consumers.deadletters.topics import ACTIONS, bare, dead_topics
from tidemill.cli.finding import Finding
from tidemill.errors import ConfigError, IndexUnavailable

if TYPE_CHECKING:
    from consumers.deadletters.database import Database
    from tidemill.config import Settings

NAME = "dead letters"
MOST_STREAMS = 5


def check_deadletters(settings: Settings) -> Finding:
    """Whether dead letters wait for somebody.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    dead_settings = load_dead_settings()
    try:
        from consumers.deadletters.database import Database

        database = Database(settings, dead_settings)
    except ConfigError as error:
        if dead_settings.url is None:
            return Finding(NAME, None, "not installed here")
        return Finding(NAME, False, error.message.rstrip("."), error.hint)
    try:
        return _found(settings, database)
    except IndexUnavailable as error:
        return Finding(NAME, False, error.message.rstrip("."), error.hint)
    finally:
        database.close()


def _found(settings: Settings, database: Database) -> Finding:
    from consumers.deadletters.fold import read_offsets
    from consumers.deadletters.selection import by_stream
    from consumers.deadletters.state import State

    cluster = Cluster(settings)
    there = cluster.topics()
    if settings.qualified(ACTIONS.name) not in there:
        return Finding(NAME, None, f"there is no topic {ACTIONS.name!r}, `tidemill topics apply` makes it")
    now = cluster.extent(dead_topics(settings, there))
    known: dict[tuple[str, int], int] = {}
    open_letters: dict[str, int] = {}
    if database.exists:
        with database.reading() as connection:
            known = {place: offset for place, (_, offset) in read_offsets(connection).items()}
            open_letters = by_stream(connection, State.OPEN)
    unread = sum(
        end - max(now.begins[part], known.get((bare(settings, part[0]), part[1]), 0)) for part, end in now.ends.items()
    )
    not_read = f"{unread:,} records are not in the index yet" if unread > 0 else ""
    if open_letters:
        named = [f"{stream or NO_STREAM} {number:,}" for stream, number in list(open_letters.items())[:MOST_STREAMS]]
        more = ", ..." if len(open_letters) > MOST_STREAMS else ""
        told = f"{sum(open_letters.values()):,} open: {', '.join(named)}{more}"
        return Finding(NAME, False, f"{told}; {not_read}" if not_read else told, "`tidemill dead list` groups them.")
    if not_read:
        return Finding(NAME, False, not_read, "`tidemill dead list` reads and groups them.")
    return Finding(NAME, True, "none is open")
