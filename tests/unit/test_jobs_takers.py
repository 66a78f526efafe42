"""Which streams take an event is told from their source, without importing them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from scheduler.jobs import takers


def test_the_image_stream_is_found_without_loading_what_it_needs() -> None:
    program = """
import sys
import scheduler.jobs.file
from scheduler.jobs.takers import installed_takers
print(installed_takers("image.requested"), installed_takers("image.processed"))
print(sorted({"PIL", "faust", "confluent_kafka", "streams.image.handler"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "['image'] []\n[]\n"


@pytest.mark.parametrize(
    ("source", "event_type"),
    [
        ('@stream("a.b")\ndef work(event): ...', "a.b"),
        ('@stream("a.b", name="x")\nasync def work(event): ...', "a.b"),
        ('@tidemill.stream("a.b")\ndef work(event): ...', "a.b"),
        ('@stream(event="a.b", order="none")\ndef work(event): ...', "a.b"),
        ('@other("x")\n@stream("a.b")\ndef work(event): ...', "a.b"),
        ('raise RuntimeError("it was imported")\n@stream("a.b")\ndef work(event): ...', "a.b"),
        ("@stream(TYPE)\ndef work(event): ...", None),
        ("@stream()\ndef work(event): ...", None),
        ("@stream\ndef work(event): ...", None),
        ("@stream(7)\ndef work(event): ...", None),
        ('work = stream("a.b")(print)', None),
        ('@stream("a.b")\ndef other(event): ...', None),
        ("def work(:", None),
    ],
)
def test_the_type_is_read_from_the_decorator_where_it_is_a_literal(
    source: str, event_type: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"module_of_a_test_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert takers.declared_type(EntryPoint("work", f"{name}:work", takers.GROUP)) == event_type
    assert name not in sys.modules


@pytest.mark.parametrize("value", ["not_installed_anywhere:work", "not_installed.anywhere:work", "sys:work", "json"])
def test_what_cant_be_looked_into_takes_nothing_that_is_known(value: str) -> None:
    assert takers.declared_type(EntryPoint("work", value, takers.GROUP)) is None
