"""`tidemill image`: pictures through the stream from the command line, and what became of each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json

if TYPE_CHECKING:
    from streams.image.jobs import ImageJobs, Job
    from tidemill.events import Rendition
    from tidemill.store import Store

EPILOG = """
\b
Examples:
  tidemill image photo.jpg                                    800 pixels wide, in the object store
  tidemill image *.jpg --width 1600 --width 400 --out small/  two sizes each, copied to a folder
  tidemill image logo.png --width 256 --height 256 --fit pad --format webp
  tidemill image photo.jpg --json | jq -r '.[].renditions[].uri'

\b
A worker must run: tidemill worker image
"""


@command
def image(
    files: Annotated[list[Path], typer.Argument(help="Pictures.", exists=True, dir_okay=False)],
    width: Annotated[
        list[int] | None, typer.Option(min=1, help="Width in pixels; several make several renditions.")
    ] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Height in pixels, for every width.")] = None,
    fit: Annotated[str, typer.Option(help="contain, cover or pad.")] = "contain",
    format_: Annotated[str, typer.Option("--format", help="same, jpeg, webp, avif or png.")] = "same",
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="For jpeg, webp and avif.")] = None,
    background: Annotated[str, typer.Option(help="#rrggbb, behind transparency and around pad.")] = "#ffffff",
    out_dir: Annotated[Path | None, typer.Option("--out", help="Copy the renditions into this folder.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for the next result, seconds.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON.")] = False,
) -> None:
    """Send pictures through the image stream and wait for their renditions."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streams.image.jobs import ImageJobs
    from streams.image.settings import load_image_settings
    from tidemill.codec import Codec
    from tidemill.config import load_settings
    from tidemill.contracts.registry import Registry
    from tidemill.publisher import Publisher
    from tidemill.store import Store
    from tidemill.tail import Tail

    settings = load_settings()
    renditions = _renditions(width or [800], height, fit, format_, quality, background)
    store = Store.from_settings(settings)
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (
        Registry(settings) as registry,
        Tail(settings, ImageJobs.TOPICS) as tail,
        Publisher(settings, codec=(codec := Codec(registry))) as publisher,
    ):
        jobs = ImageJobs(publisher, store, codec, tail, load_image_settings())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("pictures", total=len(files))
            for file in files:
                jobs.submit(file, renditions)
            publisher.flush()
            for job in jobs.outcomes(timeout):
                if out_dir is not None:
                    _copy(job, store, out_dir)
                progress.advance(task)
    if as_json:
        print_json([_facts(job) for job in jobs.jobs.values()])
    else:
        show(list(jobs.jobs.values()), time.monotonic() - began)
    raise typer.Exit(_verdict(jobs, timeout))


def register(app: typer.Typer) -> None:
    """Add the command to `tidemill`; the entry point `tidemill.commands`."""
    app.command(epilog=EPILOG)(image)


def show(jobs: list[Job], seconds: float) -> None:
    """Print what became of each picture: a table, the failures with their reasons, and a line of totals."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("picture", "original", "rendition", "size", "format"):
        table.add_column(heading)
    for heading in ("kB", "seconds"):
        table.add_column(heading, justify="right")
    for job in jobs:
        if job.result is None:
            continue
        original = job.result.original
        left = [job.file.name, f"{original.width}x{original.height} {original.format}"]
        for result in job.result.renditions:
            made = [result.name, f"{result.width}x{result.height}", result.format, f"{result.bytes / 1000:.1f}"]
            table.add_row(*left, *made, f"{job.seconds:.2f}" if left[0] else "")
            left = ["", ""]
    done = [job for job in jobs if job.result is not None]
    if done:
        out.print(table)
    for job in jobs:
        if job.failure is not None:
            out.print(f"[red]✗[/] {job.file.name} became a dead letter: ", end="")
            out.print(job.failure, markup=False, soft_wrap=True)
    made_count = sum(len(job.result.renditions) for job in done if job.result is not None)
    out.print(f"{len(done)} of {len(jobs)} pictures, {made_count} renditions in {seconds:.1f} s")


def _renditions(
    widths: list[int], height: int | None, fit: str, format_: str, quality: int | None, background: str
) -> list[Rendition]:
    from tidemill.events import Rendition

    facts: dict[str, Any] = {
        "height": height,
        "fit": fit,
        "format": format_,
        "quality": quality,
        "background": background,
    }
    return [Rendition(name=f"w{width}", width=width, **facts) for width in dict.fromkeys(widths)]


def _copy(job: Job, store: Store, folder: Path) -> None:
    if job.result is None:
        return
    for result in job.result.renditions:
        data = store.read(result.uri, result.bytes)
        extension = result.uri.rsplit(".", 1)[-1]
        (folder / f"{job.file.stem}-{result.name}.{extension}").write_bytes(data)


def _facts(job: Job) -> dict[str, Any]:
    from dataclasses import asdict

    facts: dict[str, Any] = {"file": str(job.file), "id": job.id, "source": job.source, "seconds": job.seconds}
    if job.result is not None:
        facts |= {"original": asdict(job.result.original), "renditions": [asdict(r) for r in job.result.renditions]}
    facts["failure"] = job.failure
    return facts


def _verdict(jobs: ImageJobs, timeout: float) -> int:
    waiting = jobs.waiting
    if waiting:
        err.print(f"[red]✗[/] no answer for {len(waiting)} pictures within {timeout:g} s, e.g. {waiting[0].file.name}.")
        err.print("[bold]next:[/]  Is a worker running? `tidemill worker image` starts one; nothing is lost meanwhile.")
        return 1
    return 1 if any(job.failure is not None for job in jobs.jobs.values()) else 0
