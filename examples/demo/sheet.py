"""The contact sheet: one HTML page with every picture, its renditions, and what went wrong. It loads nothing remote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
        renditions=sum(len(job.result.renditions) for job in done if job.result is not None),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path.absolute()
