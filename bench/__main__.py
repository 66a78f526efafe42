"""`python -m bench`: run the measurements on a Kafka of their own, show a table, keep the figures as JSON."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.contenders.catalogue import ALWAYS, PEERS, PEERS_PYTHON, Contender
from bench.figures import Figure
from bench.ground import Ground
from bench.machine import machine_facts
from bench.redis_server import installed, redis_server
from tidemill.cli.app import prepare_contracts
from tidemill.cli.terminal import command, err, out
from tidemill.config import load_settings
from tidemill.errors import ConfigError
from tidemill.local import Stack

MEASUREMENTS = (
    "imports",
    "publish",
    "drain",
    "latency",
    "start",
    "scaling",
    "images",
    "emails",
    "growth",
    "ticks",
    "delays",
)
RESULTS = Path(__file__).parent / "results"
# What a broker in earnest would have, instead of the little that suits a laptop; the local stack's own heap would be
# what is measured.
KAFKA_JAVA = ("-Xmx1g", "-Xms1g", "-XX:+UseG1GC")


@command
def bench(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(MEASUREMENTS)}; default all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short round each: to see that they run.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only these beside Tidemill and the bare client, e.g. celery.")
    ] = None,
) -> None:
    """Measure Tidemill's speed beside what else one could use, in one run on this machine."""
    wanted = names or list(MEASUREMENTS)
    if unknown := [name for name in wanted if name not in MEASUREMENTS]:
        raise ConfigError(
            f"There is no measurement {', '.join(unknown)}.", hint=f"There are: {', '.join(MEASUREMENTS)}."
        )
    contenders = _contenders(only)
    run = _Run(machine_facts(), contenders, quick)
    for name in wanted:
        began = time.monotonic()
        err.print(f"{name} ...")
        with _ground(contenders, quick) as ground:
            run.figures[name] = import_module(f"bench.{name}").run(ground)
        _show(run.figures[name])
        err.print(f"{name}: {time.monotonic() - began:.0f} s")
        run.keep()
    err.print(f"Kept in {run.path}", soft_wrap=True)


class _Run:
    """What a run has found so far; kept after every measurement, so that a later one that fails takes nothing along."""

    def __init__(self, facts: Mapping[str, object], contenders: Sequence[Contender], quick: bool) -> None:
        self.figures: dict[str, list[Figure]] = {}
        self.path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        self._began = time.monotonic()
        self._facts = facts
        self._quick = quick
        self._contenders = {
            each.key: {"label": each.label, "version": each.version(), "notes": each.notes} for each in contenders
        }

    def keep(self) -> None:
        """Write the file."""
        report = {
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._began),
            "quick": self._quick,
            "machine": self._facts,
            "contenders": self._contenders,
            "figures": {name: [asdict(figure) for figure in some] for name, some in self.figures.items()},
        }
        RESULTS.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _contenders(only: Sequence[str] | None) -> list[Contender]:
    """Who takes part, with a line about who doesn't and why."""
    everyone = (*ALWAYS, *PEERS)
    if unknown := set(only or ()) - {each.key for each in everyone}:
        raise ConfigError(
            f"There is no contender {', '.join(sorted(unknown))}.",
            hint=f"There are: {', '.join(each.key for each in everyone)}.",
        )
    able = list(ALWAYS)
    if PEERS_PYTHON.exists():
        able += [each for each in PEERS if each.wire != "redis" or installed()]
        if not installed():
            err.print("redis-server isn't installed: without Celery and dramatiq")
    else:
        err.print("without Celery, dramatiq, FastStream and quixstreams; `make bench-peers` installs them and runs all")
    return [each for each in able if not only or each.key in ("bare", "tidemill", *only)]


@contextmanager
def _ground(contenders: Sequence[Contender], quick: bool) -> Iterator[Ground]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own = load_settings(state_dir=folder / "state")
        local = stack.enter_context(Stack.start(own, kafka_port=0, registry_port=0, kafka_java=KAFKA_JAVA))
        list(prepare_contracts(local.settings))
        redis = None
        if any(each.wire == "redis" for each in contenders):
            (folder / "redis").mkdir()
            redis = stack.enter_context(redis_server(folder / "redis"))
        yield Ground(local.settings, contenders, redis, [each.pid for each in local.programs], quick)


def _show(figures: Sequence[Figure]) -> None:
    """A table with each name once, and below it everybody's figure of that name."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("figure", "who", "median", "unit", "low", "high", "target", ""):
        table.add_column(heading, justify="right" if heading in ("median", "low", "high") else "left")
    for name in dict.fromkeys(figure.name for figure in figures):
        shown = name
        for figure in (each for each in figures if each.name == name):
            mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[figure.met]
            low, high = (min(figure.rounds), max(figure.rounds)) if figure.rounds else (None, None)
            numbers = [_number(value) for value in (figure.value, low, high)]
            who = figure.contender if figure.at is None else f"at {figure.at:,.0f}"
            target = " ".join(filter(None, (figure.target, figure.note)))
            table.add_row(shown, who, numbers[0], figure.unit, numbers[1], numbers[2], target, mark)
            shown = ""
    out.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


if __name__ == "__main__":
    typer.run(bench)
