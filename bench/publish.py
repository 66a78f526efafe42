"""Publishing as fast as it goes, from one process, until everything is acknowledged by the broker."""

from __future__ import annotations

from bench.figures import Figure, median_of, ratios
from bench.ground import Ground

TITLE = "publish"


def run(ground: Ground) -> list[Figure]:
    """Measure all contenders in turn, and the further ways that they offer."""
    course = ground.course("publish")
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in ground.rounds:
        for contender in ground.contenders:
            count = ground.few(contender.publish_count)
            for way, arguments in {TITLE: contender.publishing, **contender.more_publishing}.items():
                ground.empty_redis()
                seconds = ground.publish(contender, course, count, arguments=arguments)
                rates.setdefault((contender.key, way), []).append(count / seconds)
                ground.say(f"{contender.key}, {way}: {count / seconds:,.0f} events/s")
    figures = []
    for (key, way), found in rates.items():
        least = 40_000 if (key, way) == ("tidemill", TITLE) else None
        title = TITLE if way == TITLE else f"{TITLE}, {way}"
        figures.append(median_of(title, found, "events/s", contender=key, least=least))
    share = ratios(rates["tidemill", TITLE], rates["bare", TITLE])
    return [*figures, median_of(f"{TITLE}, beside the bare client", share, "x", contender="tidemill")]
