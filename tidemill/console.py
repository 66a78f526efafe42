"""The two consoles of every program here, and how an error is shown on them.

Results go to standard output, everything else (progress, notes, errors) to standard error, so that output can be piped.
"""

from __future__ import annotations

from rich.console import Console

from tidemill.errors import TidemillError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def report(error: TidemillError) -> None:
    """Show an error on standard error: what is wrong, then what to do."""
    err.print("[bold red]error:[/] ", end="")
    err.print(error.message, markup=False, soft_wrap=True)
    if error.hint:
        err.print("[bold]next:[/]  ", end="")
        err.print(error.hint, markup=False, soft_wrap=True)
