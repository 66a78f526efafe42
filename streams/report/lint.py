"""What is wrong with a report, found before somebody waits for it: its definition, its queries, its page.

Besides what `folder.examine` finds: parameters whose defaults don't fit, templates that can't be compiled or refer to
what isn't there, pages that would load something. Runs no query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import meta
from jinja2.exceptions import TemplateSyntaxError

from streams.report.definition import Definition
from streams.report.folder import DEFINITION, Fault, Report, examine, line_of
from streams.report.page import VARIABLES, environment
from streams.report.page_check import page_faults
from streams.report.parameters import parse
from streams.report.wording import Wording
from tidemill.errors import Reject

_REFERENCE = re.compile(r"\b(queries|parameters)\.([A-Za-z_][A-Za-z0-9_]*)")
_A_MOMENT = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


def lint(folder: Path) -> list[Fault]:
    """All faults of a report's folder, by file and line."""
    report, faults = examine(folder)
    if report is None:
        return faults
    text = (folder / DEFINITION).read_text(encoding="utf-8")
    faults += _parameter_faults(report.definition, text)
    faults += _locale_faults(report.definition, text)
    faults += _template_faults(report)
    used = {report.definition.file_of(name) for name in report.definition.queries}
    used |= {table.sql for table in report.definition.tables.values() if table.sql is not None}
    faults += (
        Fault(path.name, 0, "nothing in report.toml uses it")
        for path in sorted(folder.glob("*.sql"))
        if path.name not in used
    )
    return sorted(faults)


def _parameter_faults(definition: Definition, text: str) -> Iterator[Fault]:
    for name, parameter in definition.parameters.items():
        bare = parameter.model_copy(update={"choices": (), "min": None, "max": None})
        for key, values in (
            ("default", [parameter.default]),
            ("min", [parameter.min]),
            ("max", [parameter.max]),
            ("choices", list(parameter.choices)),
        ):
            for value in values:
                if value is None:
                    continue
                try:
                    parse(parameter if key == "default" else bare, value, _A_MOMENT, definition.zone)
                except (ValueError, OverflowError) as error:
                    line = line_of(text, ("parameters", name, key))
                    yield Fault(DEFINITION, line, f"parameters.{name}.{key} {error}")


def _locale_faults(definition: Definition, text: str) -> Iterator[Fault]:
    try:
        Wording(definition.locale, definition.zone)
    except Reject as error:
        yield Fault(DEFINITION, line_of(text, ("locale",)), str(error))


def _template_faults(report: Report) -> Iterator[Fault]:
    if report.definition.template is None or not (report.folder / report.definition.template).is_file():
        return
    sandbox = environment(report.folder, Wording("en", report.definition.zone))
    for path in sorted(report.folder.glob("*.html")):
        source = path.read_text(encoding="utf-8", errors="replace")
        try:
            tree = sandbox.parse(source)
        except TemplateSyntaxError as error:
            yield Fault(path.name, error.lineno, error.message or "can't be compiled")
            continue
        for name in sorted(meta.find_undeclared_variables(tree) - VARIABLES - set(sandbox.globals)):
            yield Fault(path.name, _line_with(source, name), f"{name!r} is nothing that a page has")
        for needed in meta.find_referenced_templates(tree):
            if needed is not None and not needed.startswith("tidemill/") and not (report.folder / needed).is_file():
                yield Fault(path.name, _line_with(source, needed), f"{needed!r} isn't in the report's folder")
        yield from _query_references(report, path.name, source)
        for line, what in page_faults(source):
            # What an expression gives is seen when the page is made.
            if "{{" not in what:
                yield Fault(path.name, line, what)


def _query_references(report: Report, file: str, source: str) -> Iterator[Fault]:
    for number, line in enumerate(source.splitlines(), 1):
        for kind, name in _REFERENCE.findall(line):
            known = getattr(report.definition, kind)
            if name not in known:
                yield Fault(
                    file, number, f"{kind}.{name} isn't in report.toml; there are: {', '.join(known) or 'none'}"
                )


def _line_with(source: str, words: str) -> int:
    return next((number for number, line in enumerate(source.splitlines(), 1) if words in line), 0)
