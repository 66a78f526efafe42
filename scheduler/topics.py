"""The topic that the clock keeps its books in: what jobs there are, and where each stands."""

from __future__ import annotations

from tidemill.topics.house import HouseTopic

JOBS = HouseTopic("schedule.jobs", 6, "periodic jobs, and where each stands")
"""A job lies in the partition of its name; whoever owns the partition emits its ticks."""

TOPICS = [JOBS]
"""For the entry point `tidemill.topics`."""
