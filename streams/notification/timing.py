"""When a notice goes: at once, or at the end of quiet hours, of a full hour's rate, of a digest.

Computes only. Urgent notices go at once, whatever else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from streams.notification.quiet import QuietHours
from tidemill.events import NotificationWait

RATE_WINDOW = timedelta(hours=1)
CLOCK_TOLERANCE = timedelta(minutes=5)
"""Machines' clocks may differ by so much: an end of quiet hours that is nearer counts as come, or what the scheduler
wakes would be put off again and again by a worker whose clock is behind."""

NOW = "now"
HELD = "held"
RETRY: NotificationWait = "retry"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a recipient wants to be told.

    Args:
        zone: Their time zone.
        quiet: Their quiet hours.
        rate_per_hour: At most so many an hour.
    """

    zone: ZoneInfo
    quiet: QuietHours | None = None
    rate_per_hour: int | None = None

    def quiet_until(self, now: datetime) -> datetime | None:
        """When their quiet ends, if it is quiet."""
        return self.quiet.until(now, self.zone) if self.quiet is not None else None


@dataclass(frozen=True, slots=True)
class Timing:
    """When a notice goes.

    Attributes:
        group: What it goes together with: `now` with nothing, `held`, or `digest:<name>`.
        due: When; None for at once.
        waits_for: What it waits for.
    """

    group: str
    due: datetime | None = None
    waits_for: NotificationWait | None = None


def timing_of(
    manners: Manners,
    *,
    now: datetime,
    urgency: str,
    digest: str | None,
    digest_seconds: float,
    told: list[datetime],
) -> Timing:
    """When a notice goes.

    Args:
        manners: The recipient's.
        now: This moment.
        urgency: Of the notice.
        digest: The digest that it asks for.
        digest_seconds: How long that gathers.
        told: When the recipient was told something within the last hour, in any order.
    """
    if urgency == "high":
        return Timing(NOW)
    if digest is not None:
        due = now + timedelta(seconds=digest_seconds)
        quiet_until = manners.quiet_until(due)
        return Timing(f"digest:{digest}", quiet_until or due, "digest")
    if (quiet_until := manners.quiet_until(now)) is not None:
        return Timing(HELD, quiet_until, "quiet_hours")
    if manners.rate_per_hour is not None and len(told) >= manners.rate_per_hour:
        # So many of the newest fill the hour; room comes when the oldest of these is an hour ago.
        due = sorted(told)[-manners.rate_per_hour] + RATE_WINDOW
        return Timing(HELD, manners.quiet_until(due) or due, "rate")
    return Timing(NOW)


def put_off_until(manners: Manners, now: datetime) -> datetime | None:
    """Until when what is due now has to wait, for it is quiet (the scheduler was away, the recipient has new hours)."""
    quiet_until = manners.quiet_until(now)
    return quiet_until if quiet_until is not None and quiet_until - now > CLOCK_TOLERANCE else None
