"""`python -m bench`: run the measurements on a Kafka of their own, show a table, keep the figures as JSON."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.figures import Figure, machine_facts
from tidemill.cli.app import prepare_contracts
from tidemill.cli.terminal import command, err, out
from tidemill.config import load_settings
from tidemill.errors import ConfigError
from tidemill.local import Stack
from tidemill.local.java import KAFKA_OPTIONS

MEASUREMENTS = ("imports", "publish", "drain", "latency", "images")
RESULTS = Path(__file__).parent / "results"
# Where the broker is what is loaded: the collector and the memory that one in earnest would have. Elsewhere the local
# stack's own, which take less of the two processors that the measured programs need.
KAFKA_JAVA = dict.fromkeys(("publish", "drain"), ("-Xmx1g", "-Xms1g", "-XX:+UseG1GC"))


@command
def bench(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which: {', '.join(MEASUREMENTS)}; default all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short round each: to see that they run.")] = False,
) -> None:
    """Measure speed beside the bare clients, in one run on this machine."""
    wanted = names or list(MEASUREMENTS)
    if unknown := [name for name in wanted if name not in MEASUREMENTS]:
        raise ConfigError(
            f"There is no measurement {', '.join(unknown)}.", hint=f"There are: {', '.join(MEASUREMENTS)}."
        )
    figures: dict[str, list[Figure]] = {}
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            own = load_settings(state_dir=Path(folder))
            err.print(f"{name} ...")
            with Stack.start(
                own, kafka_port=0, registry_port=0, kafka_java=KAFKA_JAVA.get(name, KAFKA_OPTIONS)
            ) as stack:
                list(prepare_contracts(stack.settings))
                figures[name] = import_module(f"bench.{name}").run(stack.settings, quick)
        _show(figures[name])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    report = {
        "machine": machine_facts(),
        "quick": quick,
        "figures": {name: [asdict(figure) for figure in some] for name, some in figures.items()},
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    err.print(f"Kept in {path}", soft_wrap=True)


def _show(figures: list[Figure]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("figure", "median", "unit", "low", "high", "target", ""):
        table.add_column(heading, justify="right" if heading in ("median", "low", "high") else "left")
    for figure in figures:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[figure.met]
        numbers = [_number(value) for value in (figure.value, figure.low, figure.high)]
        table.add_row(figure.name, numbers[0], figure.unit, numbers[1], numbers[2], figure.target, mark)
    out.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


if __name__ == "__main__":
    typer.run(bench)
