"""Does the event that a job emits fit its contract? Found out by making the event of its next run.

Relies on the catalogue of installed events. Notes every fault with its line; computes only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from datetime import datetime
from typing import Any, cast

from scheduler.jobs.expressions import ExpressionError, render_text, render_value
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.payload import render, variables_of
from scheduler.jobs.table import Table, shown
from tidemill.contracts.catalogue import Catalogue
from tidemill.contracts.contract import Payload
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ContractError, InvalidEvent, UnknownEventType

_STEP = re.compile(r"\[(\d+)\]|\['([^']*)'\]|([^.\[\]]+)")


def check_fit(job: Job, table: Table, catalogue: Catalogue, now: datetime) -> None:
    """Note what is wrong with a job's event.

    Args:
        job: The job, as far as it could be read.
        table: Its table, where faults are noted.
        catalogue: The events that are known.
        now: The event of the first time after it is tried, or of the last before it if there is none.
    """
    emit = job.emit
    if emit is None:
        return
    try:
        cls = catalogue.by_type(emit.type)
    except UnknownEventType:
        known = [each.__contract__.type for each in catalogue]
        hint = did_you_mean(emit.type, known) or "`tidemill schemas list` shows all that are installed."
        table.fault(f"no installed contract has the event type {shown(emit.type)}", "emit", "type", hint=hint)
        return
    moment = job.schedule.after(now) or job.schedule.before(now) or now
    payload = _without_unknown(emit.payload, cls, table)
    variables = variables_of(job, moment, sequence=1, missed=0, manual=False)
    worked_out = True
    tries: list[tuple[Any, tuple[str, ...], Callable[[Any, dict[str, Any]], Any]]] = [
        *((value, ("emit", "payload", name), render_value) for name, value in payload.items()),
        *((text, ("emit", name), render_text) for name, text in (("key", emit.key), ("subject", emit.subject)) if text),
    ]
    for value, path, work_out in tries:
        try:
            work_out(value, variables)
        except ExpressionError as error:
            table.fault(f"{'.'.join(path)}: {_sentence(error.message)}", *path, hint=error.hint)
            worked_out = False
    if worked_out:
        _check_contract(job, replace(emit, payload=payload), table, catalogue, moment)


def check_stream(job: Job, table: Table, takers: Callable[[str], Sequence[str]]) -> Job:
    """The job with the stream whose work is waited for, if it needs one and doesn't name it; notes if none can be told.

    Args:
        job: The job.
        table: Its table, where faults are noted.
        takers: Names of the streams that take an event type.
    """
    if job.overlap == "allow" or job.stream is not None or job.emit is None:
        return job
    streams = takers(job.emit.type)
    if len(streams) == 1:
        return replace(job, stream=streams[0])
    found = f"several installed streams take {job.emit.type}: {', '.join(streams)}"
    if not streams:
        found = f"no installed stream is known to take {job.emit.type}"
    hint = 'Say whose work must be finished: stream = "...".'
    table.fault(f'overlap = "skip", but {found}', "overlap", hint=hint)
    return job


def _without_unknown(payload: dict[str, Any], cls: type[Payload], table: Table) -> dict[str, Any]:
    names = [field.name for field in fields(cast(Any, cls))]
    for name in payload:
        if name not in names:
            hint = did_you_mean(name, names) or f"Its fields are {', '.join(names)}."
            where = f"{cls.__contract__.type} has no field {shown(name)}"
            table.fault(where, "emit", "payload", name, hint=hint)
    return {name: value for name, value in payload.items() if name in names}


def _check_contract(job: Job, emit: Emit, table: Table, catalogue: Catalogue, moment: datetime) -> None:
    """Make the event; without a field that doesn't fit, if it may be left out, so that the next is found as well."""
    while True:
        try:
            render(replace(job, emit=emit), moment, catalogue, sequence=1)
        except InvalidEvent as error:
            table.fault(_sentence(error.message), "emit", "payload", *_steps(error.field), hint=error.hint)
            field = str(_steps(error.field)[0])
            cls = catalogue.by_type(emit.type)
            if field not in emit.payload or field == cls.__contract__.key or _required(cls, field):
                return
            emit = replace(emit, payload={name: value for name, value in emit.payload.items() if name != field})
        except ContractError as error:
            table.fault(_sentence(error.message), "emit", "payload", hint=error.hint)
            return
        else:
            return


def _required(cls: type[Payload], name: str) -> bool:
    field = next(each for each in fields(cast(Any, cls)) if each.name == name)
    return field.default is MISSING and field.default_factory is MISSING


def _steps(path: str) -> list[str | int]:
    """The steps of a path such as `renditions[1].width`."""
    return [int(index) if index else key or name for index, key, name in _STEP.findall(path)] or [""]


def _sentence(message: str) -> str:
    return message.rstrip(".")
