"""The page of a storm's report: it says what held, shows every act and stall, and loads nothing from elsewhere."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.crash.report import page, said, started, value, write_page
from tests.crash.report_timeline import clock, per_second, steps, timeline

VOID = {"meta"}


def report(**changes: Any) -> dict[str, Any]:
    """A storm of a minute with a kill, a cut, and a stall of 4.5 s; nothing is broken."""
    samples = [
        {
            "t": tick / 2,
            "done": 100 * (40 if 40 <= tick < 50 else tick),
            "published": 100 * tick,
            "lag": 900 if 40 <= tick < 50 else 0,
            "memory_mb": {} if tick % 2 else {"worker-0": 140.0} | ({} if 40 <= tick < 50 else {"worker-1": 138.0}),
        }
        for tick in range(1, 121)
    ]
    return {
        "seed": 7,
        "seconds": 60.0,
        "protocol": "consumer",
        "brokers": 3,
        "rate_per_second": 200.0,
        "started_at": 1_795_500_000.0,
        "machine": {"python": "3.11.7", "memory_mb": 24_000},
        "samples": samples,
        "acts": [
            {"t": 20.0, "until": 20.0, "nemesis": "worker killed", "target": "worker-1, pid 4711"},
            {"t": 40.0, "until": 49.0, "nemesis": "one broker cut off", "target": "broker 2 for 9 s"},
        ],
        "findings": {
            "acknowledged": 12_000,
            "lost": 0,
            "longest_stall_seconds": 4.5,
            "stalls": [{"from": 20.25, "to": 24.75, "during": ["worker killed"]}],
            "go_on_seconds": [1.5, 4.0, 2.0],
            "heal_seconds": None,
            "reruns": 31,
        },
        "promises": [
            {"name": "nothing is lost", "limit": 0, "found": 0, "held": True},
            {"name": "longest stall", "limit": 5.0, "found": 4.5, "held": True},
        ],
        **changes,
    }


def shown(written: str) -> str:
    """A page's text as a reader sees it, in one line."""
    body = re.sub(r"<style>.*?</style>", "", written, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Balance(HTMLParser):
    """Fails where an element isn't closed, or another is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """Opened and closed in one: nothing to keep."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_says_that_all_promises_held_and_how_to_run_the_storm_again(tmp_path: Path) -> None:
    write_page(report(), tmp_path / "report.html")
    text = shown((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Held: 2 of 2 promises" in text
    assert "1 min, seed 7, 3 brokers, protocol consumer, 200 events per second, 2 acts. Begun 2026-11-24 06:00" in text
    assert "longest stall 5 4.5 ✓ held" in text
    assert "--seconds 60 --seed 7 --protocol consumer --rate 200 --brokers 3" in text
    assert "python 3.11.7" in text


def test_a_page_names_the_broken_promise_first() -> None:
    lost = {"name": "nothing is lost", "limit": 0, "found": 12, "held": False}
    text = shown(page(report(promises=[lost, {"name": "order", "limit": 0, "found": None, "held": None}])))
    assert "Broken: nothing is lost" in text
    assert "nothing is lost 0 12 ✗ broken" in text
    assert "order 0 not measured not measured" in text
    assert "Held" not in text


@pytest.mark.parametrize(
    ("promises", "head"),
    [
        ([], "Open: no promise was looked at"),
        ([{"name": "order", "limit": 0, "found": None, "held": None}], "Held: 0 of 1 promises; not measured: order"),
    ],
)
def test_what_was_not_looked_at_is_never_called_held(promises: list[Any], head: str) -> None:
    text = shown(page(report(promises=promises)))
    assert head in text
    assert "✓" not in text


def test_a_page_shows_each_act_and_stall() -> None:
    text = shown(page(report()))
    assert "0:20.0 0:20.0 worker killed worker-1, pid 4711" in text
    assert "0:40.0 0:49.0 one broker cut off broker 2 for 9 s" in text
    assert "4.5 0:20.2 0:24.8 worker killed" in text
    assert "healed after not measured" in text
    assert "go on median 2 s, most 4 s, of 3" in text


def test_a_page_stands_alone_and_takes_no_orders_from_its_data() -> None:
    acts = [{"t": 1.0, "until": 2.0, "nemesis": "<script>alert(1)</script>", "target": '"><img src=x>'}]
    written = page(report(acts=acts))
    assert re.search(r"<script|<img|<link|@import|url\(|(?:src|href)=[\"']", written) is None
    assert "<script>alert(1)</script>" in html.unescape(written)
    parser = Balance()
    parser.feed(written)
    assert parser.open == []


def test_a_page_says_which_nemeses_could_not_act_and_why() -> None:
    text = shown(page(report(left_out={"cut-off-broker": "dropping packets needs root"})))
    assert "Not tried on this machine cut-off-broker dropping packets needs root" in text
    assert "Not tried" not in shown(page(report()))


def test_a_storm_without_acts_workers_or_samples_still_gets_a_page() -> None:
    text = shown(page(report(acts=[], samples=[], findings={"acknowledged": 0})))
    assert "All 0 acts" in text
    assert "lost not measured" in text


def test_a_stall_is_drawn_as_zero_and_a_gone_worker_as_a_gap() -> None:
    shapes = timeline(report())
    rates = dict(per_second(report()["samples"], "done", 60.0))
    assert rates[10.5] == pytest.approx(200)
    assert [rates[at] for at in (21.5, 22.5, 23.5, 24.5)] == [0, 0, 0, 0]
    assert rates[25.5] == pytest.approx(1_100)
    memory = {line.name: line.path for line in shapes.panels[2].lines}
    assert memory["worker-0"].count("M") == 1
    assert memory["worker-1"].count("M") == 2
    assert [row.name for row in shapes.rows] == ["worker killed", "one broker cut off"]
    assert shapes.rows[0].bars[0].width >= 3


def test_the_rate_is_counted_between_samples_and_unknown_without_one() -> None:
    samples = [{"t": 0.5, "done": 10}, {"t": 1.0, "done": 10}, {"t": 1.5, "done": 10}, {"t": 3.5, "done": 30}]
    assert per_second(samples, "done", 4.0) == [(0.5, 20.0), (1.5, 0.0), (2.5, None), (3.5, 10.0)]


def test_a_long_storm_keeps_its_peaks_within_few_points() -> None:
    samples = [
        {"t": tick / 2, "done": tick, "published": tick, "lag": 5_000 if tick == 4_321 else 1} for tick in range(7_200)
    ]
    lag = timeline(report(samples=samples, acts=[])).panels[1]
    assert lag.lines[0].path.count("L") < 2_500
    heights = [float(point.split(" ")[1]) for point in re.split("[ML]", lag.lines[0].path)[1:]]
    assert lag.bottom - min(heights) > 100


@pytest.mark.parametrize(
    ("highest", "found"), [(0, [0]), (1, [0, 0.5, 1]), (470, [0, 200, 400]), (0.03, [0, 0.01, 0.02, 0.03])]
)
def test_an_axis_is_marked_at_round_numbers(highest: float, found: list[float]) -> None:
    assert steps(highest, 4) == pytest.approx(found)


def test_times_and_values_are_written_as_people_write_them() -> None:
    assert [clock(59.4), clock(61), clock(3_725), clock(59.96, tenths=True)] == ["0:59", "1:01", "1:02:05", "1:00.0"]
    assert [said(12_345), said(4.123), said(None), said(True)] == ["12,345", "4.12", "not measured", "yes"]
    assert started("2026-11-24T07:30:05+01:00") == started(1_795_501_805) == "2026-11-24 06:30 UTC"
    assert value("rest_seconds", 2.0) == "2 s"
    assert value("held_mb", [1.0, 3.0]) == "median 2 MB, most 3 MB, of 2"
    assert value("kinds", {"kill": 3}) == "kill 3"
