"""`tidemill doctor`: what is well and what isn't, a line each, with the next step."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from tidemill.cli.terminal import command, out, print_json

EPILOG = """
\b
Examples:
  tidemill doctor
  tidemill doctor --skip scheduler --skip "object store"
  tidemill doctor --json | jq '.[] | select(.ok == false)'

The clock is compared with the registry's, by its HTTP Date header: exact to about a second.
In the object store one small object, tidemill-doctor.txt, is written; nothing else is changed.

Exit status: 0 if nothing is wrong, 1 if anything is.
"""

_MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("-", "dim")}


@command
def doctor(
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="CHECK", help="Leave a check out, by its name.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check broker, registry, topics, schemas, streams, scheduler, clock and object store."""
    from tidemill.cli.checkup import check_all
    from tidemill.cli.finding import Finding
    from tidemill.config import load_settings

    findings: list[Finding] = []
    for finding in check_all(load_settings(), skip or ()):
        findings.append(finding)
        if not as_json:
            _show(finding.name, finding.ok, finding.found, finding.next_step)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _show(name: str, ok: bool | None, found: str, next_step: str | None) -> None:
    mark, style = _MARKS[ok]
    line = Text()
    line.append(f"{mark} ", style)
    line.append(f"{name:13}")
    line.append(found, "dim" if ok is None else "")
    out.print(line, soft_wrap=True)
    if ok is False and next_step:
        out.print(Text.assemble((f"{'':15}next: ", "bold"), next_step), soft_wrap=True)
