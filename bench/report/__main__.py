"""`python -m bench.report`: put a run's figures and pictures into docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.report import curves, dots, tables
from bench.report.page import filled
from bench.report.results import merged, read
from tidemill.cli.terminal import command, err
from tidemill.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = Path(__file__).parents[1] / "results"
TABLES = {
    "machine": tables.machine,
    "contenders": tables.contenders,
    "targets": tables.targets,
    "throughput": tables.throughput,
    "latency": tables.latency,
    "footprint": tables.footprint,
    "scaling": tables.scaling,
    "growth": tables.growth,
    "images": tables.images,
    "ahead": tables.ahead,
}
PICTURES = {
    "throughput": dots.throughput,
    "latency": dots.latency,
    "footprint": dots.footprint,
    "growth": curves.growth,
}


@command
def report(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Results to show; of several, later ones win. Default: the newest.")
    ] = None,
    docs: Annotated[Path, typer.Option("--docs", help="Folder of performance.md.")] = DOCS,
) -> None:
    """Fill docs/performance.md and draw its pictures from the results of a run."""
    results = merged([read(path) for path in paths or [_newest()]])
    if results.quick:
        err.print("note: this is of a --quick run, whose figures only show that everything runs")
    page = docs / "performance.md"
    page.write_text(
        filled(page.read_text(encoding="utf-8"), {name: make(results) for name, make in TABLES.items()}),
        encoding="utf-8",
    )
    pictures = docs / "performance"
    pictures.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (pictures / f"{name}.svg").write_text(draw(results), encoding="utf-8")
    err.print(f"{page} and {len(PICTURES)} pictures say what was measured until {results.ended}", soft_wrap=True)


def _newest() -> Path:
    found = sorted(RESULTS.glob("[0-9]*.json"))
    if not found:
        raise ConfigError("There are no results yet.", hint="Run `make bench` first.")
    return found[-1]


if __name__ == "__main__":
    typer.run(report)
