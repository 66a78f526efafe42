"""jobs.toml: a text read as jobs, or refused with all that is wrong in it.

Relies on tomllib for the text and on the catalogue of installed events for what jobs emit. Reads one file at most;
whether it has changed is another's question.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from scheduler.jobs.declaration import read_job
from scheduler.jobs.faults import JobFault, JobsError
from scheduler.jobs.fit import check_fit, check_stream
from scheduler.jobs.job import Job
from scheduler.jobs.lines import key_lines, line_of
from scheduler.jobs.table import Table, shown
from scheduler.jobs.takers import installed_takers
from tidemill.contracts.catalogue import Catalogue
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError

LARGEST_BYTES = 16_000_000
"""Size of a jobs.toml."""
MOST_JOBS = 20_000
"""Jobs in one file."""
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_jobs(
    path: Path,
    catalogue: Catalogue,
    now: datetime,
    *,
    takers: Callable[[str], Sequence[str]] = installed_takers,
) -> list[Job]:
    """The jobs of a file, in its order.

    Args:
        path: The file.
        catalogue: The events that jobs may emit, e.g. `installed_events()`.
        now: Each job's event is tried for its first time after this moment.
        takers: Names of the streams that take an event type.

    Raises:
        JobsError: Anything in it is wrong; all faults are named, with their lines.
        ConfigError: The file can't be read.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > LARGEST_BYTES:
            raise ConfigError(
                f"{path} has {size_bytes:,} bytes, at most {LARGEST_BYTES:,} may be.", hint="Is it the right file?"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}.", hint="Check its name.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"it is not UTF-8: byte 0x{content[error.start]:02x}"
        raise JobsError(path.name, [JobFault(line, None, found, "Save it as UTF-8.")]) from error
    return parse_jobs(text, catalogue, now, origin=path.name, takers=takers)


def parse_jobs(
    text: str,
    catalogue: Catalogue,
    now: datetime,
    *,
    origin: str = "jobs.toml",
    takers: Callable[[str], Sequence[str]] = installed_takers,
) -> list[Job]:
    """The jobs of a text, in its order; arguments as for `read_jobs`.

    Args:
        origin: Where the text comes from, for messages.

    Raises:
        JobsError: Anything in it is wrong; all faults are named, with their lines.
    """
    try:
        document = tomllib.loads(text)
        lines = key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise JobsError(origin, [_syntax_fault(str(error), text)]) from error
    except RecursionError as error:
        raise JobsError(origin, [JobFault(1, None, "it is nested too deeply")]) from error
    faults: list[JobFault] = []
    for key in document:
        if key != "job":
            hint = did_you_mean(key, ["job"]) or "Jobs are written as [[job]]; there is nothing else."
            faults.append(JobFault(line_of(lines, (key,)), None, f"there is no key {shown(key)}", hint))
    tables = document.get("job", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        hint = "Write [[job]], with two brackets, before each job."
        faults.append(JobFault(line_of(lines, ("job",)), None, "job isn't a list of tables", hint))
        tables = []
    if len(tables) > MOST_JOBS:
        found = f"there are {len(tables):,} jobs, at most {MOST_JOBS:,} may be"
        raise JobsError(origin, [JobFault(line_of(lines, ("job", MOST_JOBS)), None, found)])
    jobs = []
    for index, data in enumerate(tables):
        table = Table(data, ("job", index), lines, _name(data), faults)
        job = read_job(table)
        check_fit(job, table, catalogue, now)
        jobs.append(check_stream(job, table, takers))
    faults += _used_twice(tables, lambda index: line_of(lines, ("job", index, "name")))
    if faults:
        raise JobsError(origin, faults)
    return jobs


def _name(data: dict[str, Any]) -> str | None:
    name = data.get("name")
    return name if isinstance(name, str) else None


def _used_twice(tables: list[dict[str, Any]], line: Callable[[int], int]) -> list[JobFault]:
    faults, first = [], dict[str, int]()
    for index, data in enumerate(tables):
        name = _name(data)
        if name is not None and first.setdefault(name, index) != index:
            found = f"the name is used twice, first on line {line(first[name])}"
            faults.append(JobFault(line(index), name, found, "Where a job stands is kept under its name."))
    return faults


def _syntax_fault(message: str, text: str) -> JobFault:
    place = _PLACE.search(message)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    column = f" at column {place[2]}" if place and place[2] else ""
    found = f"it is not TOML: {_PLACE.sub('', message)}{column}"
    return JobFault(line, None, found)
