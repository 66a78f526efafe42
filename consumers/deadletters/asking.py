"""What the commands share: options, the index that catches up by itself with a progress bar, and who is asking."""

from __future__ import annotations

import getpass
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import err

if TYPE_CHECKING:
    from rich.progress import Progress

    from consumers.deadletters.index import Index
    from consumers.deadletters.settings import DeadSettings
    from tidemill.config import Settings

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="GROUP", help="Letters of this group: eight hexadecimal digits.")
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Letters of this event, or the one at topic/partition/offset.")
]
WhereOption = Annotated[
    str | None, typer.Option("--where", metavar="SQL", help='Letters for which this holds, e.g. "attempts > 3".')
]
StreamOption = Annotated[str | None, typer.Option("--stream", help="Only letters of this stream.")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Only events of this topic, without the namespace.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="AGE", help="Only what died since, e.g. 90s, 15m, 6h, 7d.")
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who you are, for the record. Default: user@host.")]
NONE = 5
"""Exit status where there are no such letters; as `tidemill delayed show`."""


def since_ms(age: str | None) -> int | None:
    """An age as the moment that it began, milliseconds since 1970.

    Raises:
        typer.BadParameter: It is none.
    """
    from tidemill.contracts.duration import parse_duration

    if age is None:
        return None
    try:
        span = parse_duration(age)
        return None if span is None else round((datetime.now(UTC) - span).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{age!r}: {error}", param_hint="--since") from error


def who(given: str | None) -> str:
    """Who is asking: what they say, or user@host."""
    from consumers.deadletters.plain_text import one_line

    if given is not None and not given.strip():
        raise typer.BadParameter("it is empty", param_hint="--by")
    return one_line(given or f"{getpass.getuser()}@{socket.gethostname()}", 200)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; a function to be called with what is done, and what there is in all."""
    with _progress() as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _progress() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def caught_up(*, completely: bool = False) -> Iterator[tuple[Settings, DeadSettings, Index]]:
    """The index, as far as it comes in the time that the settings give it.

    Args:
        completely: Give it all the time that it needs.
    """
    from consumers.deadletters.index import NEVER_SECONDS, opened
    from consumers.deadletters.settings import load_dead_settings
    from tidemill import broker
    from tidemill.config import load_settings
    from tidemill.telemetry import configure_logging

    settings, dead_settings = load_settings(), load_dead_settings()
    configure_logging(settings)
    # What librdkafka says of a record that the brokers refuse, the command says itself, and of which letter it is.
    broker.logger.setLevel(logging.CRITICAL)
    with opened(settings, dead_settings) as index:
        with bar("reading dead letters") as progress:
            found = index.catch_up(NEVER_SECONDS if completely else dead_settings.catch_up_seconds, progress)
        if not found.is_complete:
            err.print(
                f"[yellow]![/] The index is {found.behind:,} records behind. `tidemill dead index` reads them.",
                soft_wrap=True,
            )
        yield settings, dead_settings, index
