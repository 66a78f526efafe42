"""The README's code must run as it stands there."""

from __future__ import annotations

import re
import sys
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_shows_publishing_replay_and_a_stream() -> None:
    assert len(BLOCKS) == 3


def test_the_stream_of_the_readme_asks_for_a_banner_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.events import ImageProcessed, ImageRequested, Original, RenditionResult
    from tidemill.runtime.discover import load_streams

    module = types.ModuleType("myshop_streams")
    monkeypatch.setitem(sys.modules, "myshop_streams", module)
    exec(compile(BLOCKS[2], "README.md", "exec"), module.__dict__)
    (banner,) = load_streams(["myshop_streams:banner"])
    assert (banner.topic, banner.group, banner.outputs) == ("image.processed", "tidemill.banner", (ImageRequested,))

    import asyncio

    from tidemill.event import Event, Position

    def processed(width: int, *names: str) -> Event[ImageProcessed]:
        original = Original(sha256="0" * 64, bytes=1, width=width, height=10, format="jpeg", mode="RGB")
        made = [
            RenditionResult(
                name=name,
                uri="file:///x",
                width=1,
                height=1,
                bytes=1,
                sha256="0" * 64,
                format="jpeg",
                content_type="image/jpeg",
            )
            for name in names
        ]
        payload = ImageProcessed(source="file:///a.jpg", original=original, dominant_color="#000000", renditions=made)
        return Event(payload, key=b"k", headers=[], position=Position("image.processed", 0, 0, 0))

    asked = asyncio.run(banner(processed(4000)))
    assert isinstance(asked, ImageRequested)
    assert asked.renditions[0].name == "banner"
    assert asyncio.run(banner(processed(4000, "banner"))) is None
    assert asyncio.run(banner(processed(1000))) is None


def test_the_publishing_of_the_readme_is_a_valid_event() -> None:
    from tidemill.events import ImageRequested
    from tidemill.testing import MemoryPublisher

    publishers: list[MemoryPublisher] = []

    def publisher() -> MemoryPublisher:
        publishers.append(MemoryPublisher())
        return publishers[-1]

    code = BLOCKS[0].replace("from tidemill import Publisher\n", "")
    exec(compile(code, "README.md", "exec"), {"Publisher": publisher, "print": lambda *_: None})
    event, later = publishers[0].of(ImageRequested)
    assert event.key == event.payload.source == "s3://uploads/2026/11/otter.jpg"
    assert event.due is None
    assert later.due is not None


def test_the_schedule_of_the_readme_is_one() -> None:
    from scheduler.jobs.file import parse_jobs
    from tidemill.contracts.catalogue import Catalogue, installed_events

    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (job,) = parse_jobs(text, Catalogue(installed_events()), datetime.now(UTC))
    assert job.emit is not None
    assert job.emit.type == "image.requested"
