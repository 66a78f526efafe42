"""What the README shows analysts, as it stands there, on a topic with events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.commands import command_environment
from tidemill import Publisher, Settings, replay
from tidemill.events import ImageProcessed, Original

README = Path(__file__).parents[2] / "README.md"


def test_the_tables_of_the_readme_hold_the_events(contracts_ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(contracts_ready).items():
        monkeypatch.setenv(name, value)
    with Publisher(contracts_ready) as publisher:
        for number in range(20):
            original = Original(sha256="0" * 64, bytes=number, width=1, height=1, format="png", mode="RGB")
            publisher.publish(
                ImageProcessed(
                    source=f"file:///{number}.png", original=original, dominant_color="#000000", renditions=[]
                )
            )
    (example,) = re.findall(r"```python\n(from tidemill import replay\n.*?)```", README.read_text(), re.DOTALL)
    (_, first, second) = filter(None, example.splitlines())
    frame = eval(first, {"replay": replay})
    assert sorted(frame["source"]) == sorted(f"file:///{number}.png" for number in range(20))
    assert frame["_timestamp"].min() > datetime.now(UTC) - timedelta(minutes=5)
    assert eval(second, {"replay": replay}).values.tolist() == [["png", 20]]
