"""The code in docs/delays.md must run as it stands there, with a publisher that needs no broker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tidemill
from scheduler.delays.wording import ABSENT, OTHERWISE, UNANSWERED
from tidemill.testing import MemoryPublisher

DOCUMENT = (Path(__file__).parents[2] / "docs" / "delays.md").read_text(encoding="utf-8")


def test_the_example_runs_and_both_events_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    monkeypatch.setattr(tidemill, "Publisher", MemoryPublisher)
    names: dict[str, Any] = {"__name__": "delays"}
    # By 2027 the second one would be due at once.
    exec(
        compile(block.replace("datetime(2027", "datetime(datetime.now(UTC).year + 1"), "docs/delays.md", "exec"), names
    )
    assert [event.position.topic.rpartition("schedule.")[2] for event in names["publisher"].events] == ["delayed"] * 2


def test_the_exit_statuses_are_those_of_the_document() -> None:
    table = dict(re.findall(r"^\| (\d) \| (.*?) \|", DOCUMENT, re.MULTILINE))
    assert table[str(UNANSWERED)].startswith("no scheduler has answered")
    assert table[str(OTHERWISE)] == "dispatched already"
    assert table[str(ABSENT)] == "no such event waits"
