"""docs/streams.md must be true: its code runs, and its tables say what the code says."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tidemill import Retry, stream
from tidemill.broker import HEADROOM_BYTES
from tidemill.cli.worker import worker as worker_command
from tidemill.runtime import burial, deadletter, source, supervisor, watch
from tidemill.runtime import worker as worker_module
from tidemill.runtime.executors import thread
from tidemill.runtime.stream import default_concurrency

DOCUMENT = (Path(__file__).parents[2] / "docs" / "streams.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, list[str]]:
    """First cells of the table that begins with this line, without their backticks -> the other cells."""
    lines = DOCUMENT[DOCUMENT.index(f"\n{heading}") :].strip().splitlines()
    rows: dict[str, list[str]] = {}
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        first, *others = [cell.strip() for cell in line.strip("|").split("|")]
        rows[first.strip("`")] = others
    return rows


def run_all() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "myshop.streams"}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL):
        exec(compile(block, "docs/streams.md", "exec"), names)
    return names


def test_its_test_passes_and_fails_where_the_handler_is_wrong() -> None:
    names = run_all()
    names["test_a_large_picture_gets_a_preview"]()
    names["previews"] = lambda event, work: event.payload
    with pytest.raises(AssertionError):
        names["test_a_large_picture_gets_a_preview"]()


def test_its_table_has_every_option_with_its_default() -> None:
    parameters = inspect.signature(stream).parameters
    rows = table("| option | default")
    assert list(rows) == list(parameters)
    for name in ("timeout", "batch", "room", "room_bytes", "memory_bytes"):
        assert rows[name][0] == str(parameters[name].default), name
    assert rows["order"][0] == '`"key"`'
    assert parameters["order"].default == "key"
    told = rows["concurrency"][0]
    numbers = {name: int(number) for number, name in re.findall(r"(\d+) for `(\w+)`", told)}
    assert numbers == {name: default_concurrency(name) for name in ("async", "thread", "inline")}


def test_its_table_has_every_field_of_the_policy_with_its_default() -> None:
    assert {name: row[0] for name, row in table("| `Retry` | default").items()} == {
        each.name: str(each.default) for each in fields(Retry)
    }


def test_its_table_has_every_executor() -> None:
    assert set(table("| executor | the handler runs")) == {"async", "thread", "process", "inline"}


def test_its_table_has_every_header_of_a_dead_letter() -> None:
    named = {
        value
        for value in vars(deadletter).values()
        if isinstance(value, str) and value.startswith(deadletter.PREFIX) and value != deadletter.PREFIX
    }
    rows = table("| header | |")
    assert set(rows) == named
    assert f"{deadletter.NAME_BYTES:,} bytes" in rows["tm_dead_error"][0]
    assert f"{deadletter.MESSAGE_BYTES:,} bytes" in rows["tm_dead_message"][0]
    assert f"{deadletter.TRACE_BYTES:,} bytes" in rows["tm_dead_trace"][0]
    assert f"{HEADROOM_BYTES // 1024} KiB" in DOCUMENT


def test_its_table_has_every_exit_status() -> None:
    statuses = {value for name, value in vars(worker_module).items() if name.startswith("EXIT_")}
    assert set(table("| exit status of a worker process")) == {str(each) for each in statuses | {watch.BLOCKED_EXIT}}


def test_its_events_of_the_log_are_those_that_the_runtime_logs() -> None:
    runtime = Path(inspect.getfile(worker_module)).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in runtime.rglob("*.py"))
    told = [event for cell in table("| event | level") for event in cell.split("`, `")]
    assert len(told) >= 14
    for event in told:
        assert f'"{event}"' in code, event


@pytest.mark.parametrize(
    ("says", "is_so"),
    [
        ("If it hasn't stopped after 5 s", thread.STOP_GRACE_SECONDS == watch.STOP_GRACE_SECONDS == 5),
        ("stands still for 60 s", watch.BLOCKED_SECONDS == 60),
        ("every 0.1 s", source.COMMIT_EVERY_SECONDS == 0.1),
        ("lets what runs finish for 5 s", source.REVOKE_WAIT_SECONDS == 5),
        ("(1,000 events at most)", source.BATCH == 1000),
        ("after 0.5 s, and after twice as long each time up to 30 s", supervisor.FIRST_RESTART_SECONDS == 0.5),
        ("each time up to 30 s", supervisor.MOST_RESTART_SECONDS == 30),
        ("lived for 10 s", supervisor.STEADY_SECONDS == 10),
        ("(25 by default)", inspect.signature(worker_command).parameters["drain_seconds"].default == 25),
        ("pauses\n(0.2 s to 10 s)", (burial.HOLD_FIRST_SECONDS, burial.HOLD_MOST_SECONDS) == (0.2, 10)),
    ],
)
def test_its_times_are_those_of_the_code(says: str, is_so: bool) -> None:
    assert says in DOCUMENT
    assert is_so
