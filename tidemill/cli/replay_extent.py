"""Says where a topic's events lie, to those who asked for a part in which there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.cli.replay_words import count_text, time_text
from tidemill.cli.terminal import err

if TYPE_CHECKING:
    from tidemill.replay import Scan


def say_that_nothing_fits(scan: Scan, read: int) -> None:
    """Say on standard error that no event fits, and where those of the topic lie.

    Args:
        scan: What was asked for.
        read: How many events were looked at.
    """
    from tidemill.replay.extent import extent

    query = scan.query
    found = extent(scan.settings, query.topic)
    offsets = sum(end - first for first, end in found.offsets.values())
    if found.last_ms is None or not offsets:
        text = f"{query.topic} is empty."
    else:
        looked = f"none of the {count_text(read, 'event')} read fits" if read else "no events there"
        text = (
            f"{query.topic}: {looked}. The topic has some {count_text(offsets, 'event')}, "
            f"from {time_text(found.first_ms)} to {time_text(found.last_ms)} UTC."
        )
    err.print(text, markup=False, soft_wrap=True)
    if query.is_timed:
        bounds = ((query.start, "from"), (query.end, "until before"))
        asked = [f"{word} {time_text(bound.time_ms)}" for bound, word in bounds if bound.time_ms is not None]
        err.print(f"Asked for was {', '.join(asked)} UTC.", markup=False, soft_wrap=True)
