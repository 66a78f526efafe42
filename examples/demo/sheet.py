"""The contact sheet: one HTML page with every picture, its renditions, and what went wrong. It loads nothing remote."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pypdfium2
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from examples.demo.uses import Uses
from streams.image.jobs import Job


def write_contact_sheet(path: Path, jobs: Sequence[Job], seconds: float, uses: Uses) -> Path:
    """Write the page.

    Args:
        path: Where to.
        jobs: What was submitted, and what became of it.
        seconds: How long all of it took.
        uses: What else was asked for.

    Returns:
        The absolute path.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=select_autoescape()
    )
    done = [job for job in jobs if job.result is not None]
    page = environment.get_template("sheet.html").render(
        done=done,
        failed=[job for job in jobs if job.result is None],
        seconds=seconds,
        uses=uses,
        first_page=_first_page(uses),
        renditions=sum(len(job.result.renditions) for job in done if job.result is not None),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path.absolute()


def _first_page(uses: Uses) -> str:
    """The first page of the report as an address that holds it; empty where there is no report."""
    for file in uses.files("report"):
        if file["format"] == "pdf":
            document = pypdfium2.PdfDocument(unquote(urlsplit(file["uri"]).path))
            picture = io.BytesIO()
            document[0].render(scale=1.5).to_pil().save(picture, "PNG")
            document.close()
            return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    return ""
