"""Times, sizes and spans as the commands of `tidemill replay` write them. Computes only."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(timestamp_ms: int | None) -> str:
    """A timestamp in UTC, to the second; `?` for None.

    Args:
        timestamp_ms: Milliseconds since 1970.
    """
    if timestamp_ms is None:
        return "?"
    return f"{datetime.fromtimestamp(timestamp_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def size_text(size_bytes: float) -> str:
    """A size in decimal units: `8.2 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 999.5 or unit == "TB":
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    raise AssertionError("the last unit takes all")


def span_text(seconds: float) -> str:
    """A duration: `0.4 s`, `38 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days:,} d {hours} h"


def count_text(count: int, noun: str) -> str:
    """`1 event`, `2,000 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
