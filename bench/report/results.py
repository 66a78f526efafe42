"""The results of one run, as `python -m bench` kept them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure
from tidemill.errors import ConfigError


@dataclass(frozen=True)
class Results:
    """One run.

    Args:
        ended: When, ISO 8601 in UTC.
        seconds: How long it took.
        quick: Whether it was one that only shows that everything runs.
        machine: Facts of the machine.
        contenders: Label, version and notes of each, by key, in order.
        figures: By measurement.
    """

    ended: str
    seconds: int
    quick: bool
    machine: Mapping[str, Any]
    contenders: Mapping[str, Mapping[str, str]]
    figures: Mapping[str, Sequence[Figure]]

    def find(self, measurement: str, name: str, contender: str) -> Figure | None:
        """A figure of one contender; None where it wasn't measured."""
        return next((each for each in self.named(measurement, name) if each.contender == contender), None)

    def named(self, measurement: str, name: str) -> Iterator[Figure]:
        """All figures of a name, of every contender or along a curve."""
        return (figure for figure in self.figures.get(measurement, ()) if figure.name == name)

    def label(self, contender: str) -> str:
        """A contender's name for people."""
        return self.contenders[contender]["label"]


def read(path: Path) -> Results:
    """Results from their file.

    Raises:
        ConfigError: There is no such file, or it isn't one of `python -m bench`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        figures = {
            name: [Figure(**{**each, "rounds": tuple(each["rounds"])}) for each in some]
            for name, some in found["figures"].items()
        }
        return Results(found["ended"], found["seconds"], found["quick"], found["machine"], found["contenders"], figures)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no {path}.", hint="`make bench` makes one, in bench/results.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} isn't a result of `python -m bench`: {error!r}.", hint="Take a file of bench/results."
        ) from error


def merged(runs: Sequence[Results]) -> Results:
    """One result of several runs, whose measurements came one after the other; later ones win.

    Args:
        runs: In the order in which they were made; the facts are those of the last.
    """
    last = runs[-1]
    figures = {name: some for run in runs for name, some in run.figures.items()}
    contenders = {key: facts for run in runs for key, facts in run.contenders.items()}
    quick = any(run.quick for run in runs)
    return Results(last.ended, sum(run.seconds for run in runs), quick, last.machine, contenders, figures)
