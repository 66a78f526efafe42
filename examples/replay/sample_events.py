"""Events for the notebook: three days of `image.processed`, made up, the same for the same end.

python -m examples.replay.sample_events 20000

They get timestamps of the past, which no publisher of Tidemill gives, so that there is something to plot.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import cos, pi
from random import Random
from typing import Any, Literal

from confluent_kafka import Producer

from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.events import ImageProcessed, Original, RenditionResult
from tidemill.publisher.preparing import Preparer
from tidemill.topics import apply

DAYS = 3
FLUSH_SECONDS = 60.0
GARBAGE = (b'{"source": "s3://uploads/by-hand.jpeg"}', b"\x00\x00\x00\x00\x01cut off")
"""JSON where Avro is agreed on, and an event that ends too soon."""
_SEED = 25
_CAMERAS: tuple[tuple[Literal["jpeg", "png", "webp"], tuple[int, int], int, float], ...] = (
    ("jpeg", (4032, 3024), 2_900_000, 0.62),
    ("jpeg", (6000, 4000), 7_400_000, 0.16),
    ("png", (1920, 1080), 1_300_000, 0.14),
    ("webp", (1200, 1200), 160_000, 0.08),
)
"""Format, size in pixels, bytes, share of the pictures."""
_WIDTHS = {"card": 480, "hero": 1600, "thumb": 200}


def publish_samples(settings: Settings, count: int, end: datetime) -> int:
    """Publish events to `image.processed`, and two messages that are none, as they happen.

    The topic and its schema are made where they are missing.

    Args:
        settings: Where to.
        count: How many, at least 1.
        end: When the last one happened, aware; the first one is three days before.

    Returns:
        How many were acknowledged.

    Raises:
        TidemillError: The broker or the registry refuses.
    """
    contract = ImageProcessed.__contract__
    apply(settings, [contract])
    delivered = 0

    def count_delivered(error: object, _: object) -> None:
        nonlocal delivered
        delivered += error is None

    producer = Producer(broker.producer_config(settings))
    with Registry(settings) as registry:
        register_contracts(registry, [contract], dry_run=False)
        preparer = Preparer(settings, Codec(registry))
        for happened, event in samples(count, end):
            message = preparer.prepare(event)
            headers: list[Any] = [*message.headers]
            producer.produce(
                message.topic,
                message.value,
                message.key,
                headers=headers,
                timestamp=int(happened.timestamp() * 1000),
                on_delivery=count_delivered,
            )
            producer.poll(0)
        for garbage in GARBAGE:
            producer.produce(message.topic, garbage, b"by-hand", timestamp=int(end.timestamp() * 1000))
    producer.flush(FLUSH_SECONDS)
    return delivered


def samples(count: int, end: datetime) -> Iterator[tuple[datetime, ImageProcessed]]:
    """Events with the time of each, in order: many by day, few by night, some of one picture again."""
    moments, pictures = Random(_SEED), Random(_SEED)
    start = end - timedelta(days=DAYS)
    for number, happened in enumerate(sorted(_moment(moments, start) for _ in range(count))):
        yield happened, _event(_picture(pictures, number))


def _moment(random: Random, start: datetime) -> datetime:
    while True:
        moment = start + timedelta(days=DAYS) * random.random()
        busy = (1.15 - cos(2 * pi * (moment.hour + moment.minute / 60 - 3) / 24)) / 2.15
        if random.random() < busy:
            return moment


def _picture(random: Random, number: int) -> int:
    """Which picture an event is about: some are asked for again, a few of them very often."""
    return number if random.random() < 0.7 else int(random.paretovariate(0.8)) % (number + 1)


def _event(picture: int) -> ImageProcessed:
    random = Random(_SEED + picture)
    customer = min(39, int(random.expovariate(0.18)))
    digest = hashlib.sha256(str(picture).encode()).hexdigest()
    ((format_, (width, height), size, _),) = random.choices(_CAMERAS, [each[3] for each in _CAMERAS])
    turned = random.random() < 0.3
    names = sorted(random.sample(sorted(_WIDTHS), random.randint(1, 3)))
    return ImageProcessed(
        source=f"s3://uploads/customer-{customer:02}/{digest[:8]}.{format_}",
        original=Original(
            sha256=digest,
            bytes=int(size * random.lognormvariate(0, 0.35)),
            width=height if turned else width,
            height=width if turned else height,
            format=format_,
            mode="RGBA" if format_ == "png" else "RGB",
            orientation=6 if turned else 1,
            orientation_applied=turned,
            color_profile="Display P3" if random.random() < 0.2 else None,
        ),
        dominant_color=f"#{random.randrange(1 << 24):06x}",
        renditions=[
            RenditionResult(
                name=name,
                uri=f"s3://renditions/{digest[:16]}-{name}.webp",
                width=_WIDTHS[name],
                height=_WIDTHS[name] * 3 // 4,
                bytes=int(_WIDTHS[name] ** 1.7 * random.lognormvariate(0, 0.3)),
                sha256=hashlib.sha256(f"{picture} {name}".encode()).hexdigest(),
                format="webp",
                content_type="image/webp",
            )
            for name in names
        ],
        notes=["Its colour profile can't be read."] if random.random() < 0.01 else [],
    )


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    made = publish_samples(load_settings(), wanted, datetime.now(UTC))
    sys.stdout.write(f"{made:,} of {wanted:,} events are in image.processed.\n")
