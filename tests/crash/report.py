"""A storm's report as one page that a person reads: what held, what broke, and when nothing moved.

Relies on jinja2 and on the form of report.json. The page loads nothing from elsewhere and runs no script, so that it
can be attached to anything. Must never call a storm held when a promise was broken or wasn't looked at.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.crash.report_timeline import clock, family, timeline

CARDS = ("acknowledged", "lost", "longest_stall_seconds", "heal_seconds", "reruns")
"""The findings that are shown large."""
PROSE = {"heal_seconds": "healed after", "longest_stall_seconds": "longest stall", "reruns": "run twice"}


def write_page(report: Mapping[str, Any], path: Path) -> None:
    """Write a storm's page.

    Args:
        report: What a storm found, as it is in report.json.
        path: The HTML file, UTF-8; replaced if it is there.

    Raises:
        KeyError: A part that every report has is missing.
    """
    path.write_text(page(report), encoding="utf-8")


def page(report: Mapping[str, Any]) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clock=clock, family=family, said=said, words=words, value=value)
    return environment.get_template("report_page.html.j2").render(
        report={"left_out": {}, **report},
        verdict=verdict(report["promises"]),
        broken=[each for each in report["promises"] if each["held"] is False],
        untried=[each for each in report["promises"] if each["held"] is None],
        cards=[(PROSE.get(name, words(name)), name, report["findings"].get(name)) for name in CARDS],
        others={name: found for name, found in report["findings"].items() if name not in {*CARDS, "stalls"}},
        stalls=sorted(report["findings"].get("stalls", []), key=lambda stall: stall["from"] - stall["to"])[:12],
        lasted=lasted(report["seconds"]),
        started=started(report["started_at"]),
        command=command(report),
        timeline=timeline(report),
    )


def verdict(promises: Sequence[Mapping[str, Any]]) -> str:
    """`broken` if one was; `open` if one was not looked at, or none was given; else `held`."""
    if any(each["held"] is False for each in promises):
        return "broken"
    if not promises or any(each["held"] is None for each in promises):
        return "open"
    return "held"


def command(report: Mapping[str, Any]) -> str:
    """The command that runs the same storm again."""
    if "command" in report:
        return str(report["command"])
    options = {
        "seconds": f"{report['seconds']:g}",
        "seed": report["seed"],
        "protocol": report["protocol"],
        "rate": f"{report['rate_per_second']:g}",
        "brokers": report["brokers"],
    }
    return "python -m tests.crash.storm " + " ".join(f"--{name} {value}" for name, value in options.items())


def lasted(seconds: float) -> str:
    """A storm's length: in whole minutes where it has whole minutes."""
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g} s"


def started(at: float | str) -> str:
    """When a storm began, for people; from seconds since the epoch, or ISO 8601 with an offset."""
    began = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return f"{began.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """`dead_letters_found` as people write it; seconds move into the value."""
    return name.replace("_seconds", "").replace("_mb_", "_MB_").replace("_", " ")


def value(name: str, found: object) -> str:
    """A finding with its unit; of many numbers their middle, the largest, and how many there are."""
    unit = " s" if "_seconds" in name else " MB" if name.endswith("_mb") else ""
    if isinstance(found, list | tuple):
        numbers = [each for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
        if numbers and len(numbers) == len(found):
            middle, most = said(statistics.median(numbers)), said(max(numbers))
            return f"median {middle}{unit}, most {most}{unit}, of {len(numbers)}"
        return ", ".join(said(each) for each in found) or "none"
    return said(found) + (unit if isinstance(found, int | float) else "")


def said(found: object) -> str:
    """Any value as text: numbers with separators and without false precision, nothing as `not measured`."""
    if found is None:
        return "not measured"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int):
        return f"{found:,}"
    if isinstance(found, float):
        return f"{found:,.0f}" if abs(found) >= 1000 else f"{found:.3g}"
    if isinstance(found, Mapping):
        return ", ".join(f"{name} {said(each)}" for name, each in found.items()) or "none"
    if isinstance(found, list | tuple):
        return ", ".join(said(each) for each in found) or "none"
    return str(found)
