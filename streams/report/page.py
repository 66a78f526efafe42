"""A report's page: its template filled in, then its tables and its type put in.

Jinja2 in its sandbox: values are escaped, what isn't there is an error, and nothing is read but the report's own
folder and the house's layout, `tidemill/report.html`. Must never compile a text of a request or of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateNotFound,
)
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from streams.report.folder import Report
from streams.report.fonts import font_faces
from streams.report.page_check import page_faults
from streams.report.page_parts import PageParts
from streams.report.parameters import Value
from streams.report.rows import Rows
from streams.report.wording import Wording
from streams.report.words import Words, words_of
from tidemill.errors import Reject, TidemillError

_PAGES = Path(str(files("streams.report") / "pages"))
_FONTS = "/*fonts*/"
VARIABLES = frozenset(
    {"title", "description", "report", "made_at", "time_zone", "lang", "words", "style", "parameters", "queries"}
    | {"table", "lines", "columns", "bars", "sparkline", "image"}
)
"""All that a template can ask for."""
_TABLE = re.compile(r"<!--rows:(\d+)-->")


@dataclass(frozen=True)
class PageContent:
    """What a page is made of, besides its template.

    Attributes:
        title: Its title.
        made_at: The moment that it is made for, aware.
        locale: Of its reader.
        values: The report's parameters.
        results: What its queries gave, by name.
    """

    title: str
    made_at: datetime
    locale: str
    values: Mapping[str, Value]
    results: Mapping[str, Rows]


def render_page(report: Report, content: PageContent) -> str:
    """The HTML of a report's page, which loads nothing from anywhere.

    Args:
        report: The report.
        content: What it shows.

    Raises:
        Reject: The template can't be filled in, or it refers to something outside; the message says where.
    """
    zone = report.definition.zone
    wording = Wording(content.locale, zone)
    words = words_of(wording.locale.language)
    parts = PageParts(report.folder, wording, words)
    variables = {
        **parts.functions,
        "title": content.title,
        "description": report.definition.description,
        "report": report.name,
        "made_at": content.made_at.astimezone(zone),
        "time_zone": report.definition.time_zone,
        "lang": wording.tag,
        "words": words,
        "style": Markup(_FONTS + _style(content.title, words)),
        "parameters": content.values,
        "queries": content.results,
    }
    skeleton = _filled(report, wording, variables)
    if faults := page_faults(skeleton):
        told = "; ".join(f"line {line} of the page: {what}" for line, what in faults[:20])
        raise Reject(f"The page of the report {report.name!r} isn't self-contained: {told}.")
    body = "".join(_with_tables(skeleton, parts))
    return body.replace(_FONTS, font_faces(body), 1)


def environment(folder: Path, wording: Wording) -> ImmutableSandboxedEnvironment:
    """The sandbox of one report's templates.

    Args:
        folder: Of the report.
        wording: Writes what the filters are given.
    """
    found = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader(
            [
                PrefixLoader({"tidemill": FileSystemLoader(_PAGES)}),
                FileSystemLoader(folder, followlinks=False),
            ]
        ),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        number=wording.number,
        money=wording.money,
        percent=wording.percent,
        compact=wording.compact,
        day=wording.day,
        moment=wording.moment,
    )
    return found


def _filled(report: Report, wording: Wording, variables: Mapping[str, Any]) -> str:
    file = report.definition.template or ""
    try:
        return environment(report.folder, wording).get_template(file).render(variables)
    except TidemillError:
        raise
    except UndefinedError as error:
        raise Reject(f"{_place(error, file)}: asks for what isn't there: {error.message}.") from error
    except TemplateSyntaxError as error:
        raise Reject(f"{error.name or file}:{error.lineno}: {error.message}.") from error
    except TemplateNotFound as error:
        raise Reject(f"{file}: needs {error.name!r}, which isn't in the report's folder.") from error
    except SecurityError as error:
        raise Reject(f"{_place(error, file)}: does what templates may not: {error}.") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise Reject(f"{_place(error, file)}: {type(error).__name__}: {error}.") from error


def _place(error: BaseException, file: str) -> str:
    """File and line of the template where an error came up: Jinja puts them into the traceback."""
    place, trace = file, error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.endswith((".html", ".css", ".txt")):
            place = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _with_tables(skeleton: str, parts: PageParts) -> Iterator[str]:
    end = 0
    for found in _TABLE.finditer(skeleton):
        yield skeleton[end : found.start()]
        yield from parts.table_pieces(int(found[1]))
        end = found.end()
    yield skeleton[end:]


def _style(title: str, words: Words) -> str:
    """The house's style sheet, and the running head and foot in the page's words."""
    page, of = (_css_text(word) for word in words.page_of)
    quiet = "font-family:'Source Sans 3';font-size:8pt;color:#66625c"
    running = (
        f"@page{{@top-left{{content:{_css_text(title)};{quiet}}}"
        f"@bottom-right{{content:{page} counter(page) {of} counter(pages);{quiet}}}}}"
        "@page:first{@top-left{content:none}}"
    )
    return (_PAGES / "style.css").read_text(encoding="utf-8") + running


def _css_text(text: str) -> str:
    """A text as CSS has it, in which nothing has a meaning, for HTML neither (CSS Syntax Level 3, 4.3.7)."""
    return '"' + "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in text) + '"'
