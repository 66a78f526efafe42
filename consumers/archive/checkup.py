"""What `tidemill doctor` says of the archive, by the entry point `tidemill.checks`: does it keep up, is all there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.archive.settings import load_archive_settings
from consumers.archive.status import archived_topics, read_status
from tidemill.cli.finding import Finding
from tidemill.cli.replay_words import count_text
from tidemill.errors import ArchiveError, ConfigError, StoreError
from tidemill.replay.lake import Lake

if TYPE_CHECKING:
    from tidemill.config import Settings

NAME = "archive"


def check_archive(settings: Settings) -> Finding:
    """Whether topics that are archived are so before retention deletes them.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    try:
        lake = Lake.from_settings(settings)
        topics = archived_topics(settings, lake)
        if not topics:
            return Finding(NAME, None, f"nothing is archived in {lake.url}")
        found = read_status(settings, load_archive_settings(), lake, topics)
    except (ArchiveError, ConfigError, StoreError) as error:
        return Finding(NAME, False, error.message.rstrip("."), error.hint)
    for each in found:
        for partition, why in each.danger.items():
            return Finding(
                NAME,
                False,
                f"{each.topic}, partition {partition}: {why}",
                "Is an archiver running? `tidemill archive --all`",
            )
    lost = sum(each.lost for each in found)
    if lost:
        return Finding(
            NAME,
            False,
            f"retention has deleted {lost:,} offsets before they were archived",
            "`tidemill archive status` says which; let topics keep events for longer, or archive more often.",
        )
    lag = sum(each.lag or 0 for each in found)
    return Finding(NAME, True, f"{count_text(len(found), 'topic')} in {lake.url}, {lag:,} offsets not archived yet")
