"""From what a storm has left to what people see: report, page, the lines of the command, progress."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.crash.report import write_page
from tests.crash.storm.__main__ import command, main, options
from tests.crash.storm.acts import Act, Victim
from tests.crash.storm.course import Record
from tests.crash.storm.evidence import Evidence, output_of
from tests.crash.storm.findings import report
from tests.crash.storm.ledgers import Handled, Published
from tests.crash.storm.notes import Doing, note
from tests.crash.storm.promises import Promise, broken
from tests.crash.storm.sampling import Memory, Sample
from tests.crash.storm.summary import summary
from tests.crash.storm.watching import Progress

ABOUT = {
    "seed": 7,
    "seconds": 30.0,
    "protocol": "consumer",
    "brokers": 3,
    "rate_per_second": 100.0,
    "started_at": "2026-11-24T12:00:00+00:00",
    "machine": {"system": "Linux"},
}


class Terminal(io.StringIO):
    """A terminal that keeps what it is told."""

    def isatty(self) -> bool:
        return True


def record(*, lost: bool = False, zero_lag_seconds: float | None = 1032.0) -> Record:
    """A storm from 1000 to 1030 with one kill, after which two events went on elsewhere, or only one of them."""
    published, handled = [], []
    for number, at in enumerate((1001.0, 1002.0, 1011.0)):
        asked = Published("asked", at, f"e{number}", "parcels", "lane", number, note(Doing.WELL))
        published += [asked, Published("acknowledged", at, asked.id, "parcels", "lane", number, asked.note, 4)]
    for number, at, worker in ((0, 1001.1, 50), (1, 1016.5, 51), (2, 1017.0, 51))[: 2 if lost else 3]:
        start = Handled("START", at, f"e{number}", "parcels", "lane", number, 4, 1, worker)
        handled += [start, Handled("DONE", at, start.id, "parcels", "lane", number, 4, 1, worker)]
    outputs = [output_of(asked) for asked in published[::2]][: 2 if lost else 3]
    return Record(
        start_seconds=1000.0,
        healed_seconds=1030.0,
        zero_lag_seconds=zero_lag_seconds,
        acts=[Act(1010.0, 1018.0, "kill-worker", "worker-0, process 50", 5.0)],
        victims=[Victim(1010.0, 50, "kill")],
        samples=[
            Sample(1000.5 + t, t, t, None if t == 3 else t, {"worker-0": Memory(50, 90.0, 80.04)}) for t in range(30)
        ],
        fallen=[],
        evidence=Evidence(published, handled, [f"e{number}" for number in range(3)], outputs, []),
    )


def reported(found: Record) -> tuple[dict[str, Any], list[Promise]]:
    made, judged = report(found, ABOUT)
    # As it is read again.
    return json.loads(json.dumps(made, allow_nan=False)), judged


def test_a_report_counts_times_from_the_begin_of_the_storm() -> None:
    made, _ = reported(record())
    assert made["acts"] == [{"t": 10.0, "until": 18.0, "nemesis": "kill-worker", "target": "worker-0, process 50"}]
    assert made["samples"][3] == {"t": 3.5, "done": 3, "published": 3, "lag": None, "memory_mb": {"worker-0": 80.0}}
    assert made["findings"]["stalls"] == [{"from": 2.0, "to": 16.5, "during": ["kill-worker"]}]
    assert (made["findings"]["longest_stall_seconds"], made["findings"]["heal_seconds"]) == (14.5, 2.0)
    assert (made["findings"]["go_on_seconds"], made["findings"]["workers_killed"]) == ([6.5], 1)


def test_a_stall_that_is_too_long_is_the_only_promise_broken() -> None:
    _, judged = reported(record())
    assert broken(judged) == ["seconds of stall under acts on workers: 14.5, at most 5"]


def test_a_lost_event_is_in_the_report_by_its_id() -> None:
    made, judged = reported(record(lost=True))
    assert (made["findings"]["lost"], made["findings"]["examples"]["lost"]) == (1, ["e2"])
    assert "events lost: 1, at most 0" in broken(judged)


def test_a_storm_that_never_came_to_zero_lag_says_so() -> None:
    made, judged = reported(record(zero_lag_seconds=None))
    assert made["findings"]["heal_seconds"] is None
    assert "seconds from healing to zero lag: never, at most 10" in broken(judged)


def test_a_report_becomes_a_page(tmp_path: Path) -> None:
    made, _ = reported(record())
    write_page(made, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "kill-worker" in page
    assert "seconds of stall under acts on workers" in page


def test_the_command_prints_each_promise_and_the_reruns() -> None:
    made, judged = reported(record())
    lines = summary(made, judged).splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["events", "lost"], ["events", "made"]]
    (stall,) = [line for line in lines if "acts on workers" in line]
    assert stall.split()[-5:] == ["14.5", "at", "most", "5", "BROKEN"]
    assert "3 events (0 of unknown outcome, 0 failed), 1 acts, 1 workers killed." in lines
    assert lines[-2].startswith("Killed workers' events went on after 6.5 (most 6.5) s. 1 stalls")
    assert lines[-1] == "Memory of a worker, median of each five minutes: 80 MB."


def test_the_command_of_a_report_lets_the_same_storm_pass_again() -> None:
    asked = options(["--seconds", "60", "--protocol", "classic", "--nemeses", "kill-worker"])
    again = command(asked, 42).split()
    assert again[:3] == ["python", "-m", "tests.crash.storm"]
    repeated = options(again[3:])
    assert (repeated.seed, repeated.seconds, repeated.protocol, repeated.nemeses) == (
        42,
        60.0,
        "classic",
        "kill-worker",
    )


def test_an_unknown_nemesis_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nemeses", "kill-moon", "--out", str(tmp_path / "out")]) == 2
    assert "no nemesis is named 'kill-moon'; there are kill-worker, " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_elsewhere_than_on_a_terminal_each_act_is_one_line_once_it_is_over() -> None:
    shown = io.StringIO()
    with Progress(60.0, shown) as progress:
        progress.act("kill-worker ...")
        progress.sample(Sample(1.0, 1, 2, 3, {}))
        progress.act("kill-worker: worker-0")
    assert shown.getvalue().split() == ["0", "kill-worker:", "worker-0"]


def test_a_terminal_shows_how_far_the_storm_is_on_a_line_that_is_cleared_in_the_end() -> None:
    shown = Terminal()
    with Progress(60.0, shown) as progress:
        progress.act("kill-worker ...")
        progress.sample(Sample(1.0, 1234, 2000, None, {}))
    assert "0 of 60 s  1,234 done of 2,000, lag unknown  kill-worker ..." in shown.getvalue()
    assert shown.getvalue().endswith("\r\x1b[K")
