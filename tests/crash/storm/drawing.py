"""What a seed makes of a storm: which nemesis acts next, and after what pause. Computes only.

The order is that of bags: each nemesis is in a bag as often as its weight says, and a bag is emptied before the next
one is filled, so that even a short storm has seen the most of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.crash.storm.field import Nemesis

PAUSE_SECONDS = (2.0, 8.0)
"""Between two acts, so that each stall can be laid to its own."""


@dataclass(frozen=True)
class Draw:
    """What comes next.

    Args:
        pause_seconds: To wait before.
        nemesis: Who acts.
        seed: Of all that it chooses: an act draws from a source of its own, however much the ones before have drawn.
    """

    pause_seconds: float
    nemesis: Nemesis
    seed: str


def draws(seed: int, nemeses: Sequence[Nemesis], pause_seconds: tuple[float, float] = PAUSE_SECONDS) -> Iterator[Draw]:
    """The acts of a storm, without end; none without nemeses."""
    luck = Random(f"{seed}/acts")
    count = 0
    while nemeses:
        bag = [nemesis for nemesis in nemeses for _ in range(nemesis.weight)]
        luck.shuffle(bag)
        for nemesis in bag:
            count += 1
            yield Draw(luck.uniform(*pause_seconds), nemesis, f"{seed}/act-{count}")
