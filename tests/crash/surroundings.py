"""All nemeses of a storm's surroundings: network, disk, clock, registry and dead letters' topics.

Those that this machine can't do are left out, each with its reason; a storm must say so and never count them as held.
"""

from __future__ import annotations

from tests.crash import (
    surroundings_clock,
    surroundings_disk,
    surroundings_network,
    surroundings_services,
)
from tests.crash.storm.field import Nemesis

_FAMILIES: list[tuple[list[Nemesis], str | None]] = [
    (surroundings_network.NEMESES, surroundings_network.why_not()),
    (surroundings_disk.NEMESES, surroundings_disk.why_not()),
    (surroundings_clock.NEMESES, surroundings_clock.why_not()),
    (surroundings_services.NEMESES, None),
]

NEMESES: dict[str, Nemesis] = {each.name: each for family, reason in _FAMILIES if reason is None for each in family}
"""By name, those that can act here."""
LEFT_OUT: dict[str, str] = {each.name: reason for family, reason in _FAMILIES if reason is not None for each in family}
"""By name, why the others can't."""
