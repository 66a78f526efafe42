"""The code in docs/publishing.md must run as it stands there, with the publishers that need no broker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tidemill
from tidemill import errors
from tidemill.events import ImageRequested
from tidemill.testing import AsyncMemoryPublisher, MemoryPublisher

DOCUMENT = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


def run_all(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the blocks one after the other, as a reader would; the names that exist then."""
    monkeypatch.setattr(tidemill, "Publisher", MemoryPublisher)
    monkeypatch.setattr(tidemill, "AsyncPublisher", AsyncMemoryPublisher)
    names: dict[str, Any] = {"__name__": "publishing"}
    for block in BLOCKS:
        exec(compile(block, "docs/publishing.md", "exec"), names)
    return names


def test_every_example_runs_and_shows_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(monkeypatch)
    shown = capsys.readouterr().out.splitlines()
    assert len(BLOCKS) == 6
    comments = re.findall(r"# (Delivered\(.*\)|image\.requested: .*)", DOCUMENT)
    place, complaint = comments
    # The offset depends on what was published before; the partition only on the key.
    assert shown[1].partition(", offset")[0] == place.partition(", offset")[0]
    assert complaint in shown


def test_its_test_passes_and_fails_where_the_code_under_test_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_all(monkeypatch)
    names["test_an_upload_asks_for_a_card"]()
    names["handle_upload"] = lambda publisher, source: publisher.publish(ImageRequested(source=source, renditions=[]))
    with pytest.raises(IndexError):
        names["test_an_upload_asks_for_a_card"]()


def test_its_table_tells_for_each_error_whether_trying_again_can_help() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| (yes|no) \|", DOCUMENT, re.MULTILINE)
    assert len(rows) == 11
    for name, retriable in rows:
        assert getattr(errors, name).retriable is (retriable == "yes"), name
        assert name in tidemill.__all__
    described = {name for name, _ in rows}
    assert {cls.__name__ for cls in errors.PublishError.__subclasses__()} <= described
