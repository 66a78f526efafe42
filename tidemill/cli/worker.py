"""`tidemill worker`: run streams."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.terminal import command, print_rows, report

EPILOG = """
\b
Examples:
  tidemill worker image                        one process
  tidemill worker image --processes 4          four, each with its share of the partitions
  tidemill worker image email --concurrency 8  two streams in one process, 8 events of each at once
  tidemill worker myshop.streams:invoices      a stream of your own, by module:attribute
  tidemill worker --list                       what is installed
"""
EXIT_REFUSED = 78
"""As that of a worker process that can't run as it is configured (`tidemill.runtime.worker`)."""


@command
def worker(
    streams: Annotated[list[str] | None, typer.Argument(help="Names of streams, or module:attribute.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=512, help="Worker processes.")] = 1,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Events in work at once, per stream and process.")
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(min=1, help="Time to finish what runs after SIGTERM or Ctrl-C; a second signal ends at once."),
    ] = 25.0,
    list_: Annotated[bool, typer.Option("--list", help="List the installed streams.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: as JSON.")] = False,
) -> None:
    """Run streams until Ctrl-C or SIGTERM. Start it as often as you like: workers share the partitions."""
    from tidemill.errors import ConfigError, StreamError

    if list_:
        _list(as_json)
        return
    if not streams:
        raise StreamError(
            "No stream was named.", hint="See `tidemill worker --list`, then e.g. `tidemill worker image`."
        )
    from tidemill.config import load_settings
    from tidemill.runtime.orders import Orders
    from tidemill.runtime.supervise import Supervision, become_supervisor
    from tidemill.runtime.supervisor_log import SupervisorLog

    try:
        settings = load_settings()
    except ConfigError as error:
        report(error)
        raise typer.Exit(EXIT_REFUSED) from error
    orders = Orders(streams=streams, concurrency=concurrency, drain_seconds=drain_seconds)
    become_supervisor(Supervision(processes, orders, SupervisorLog(settings.log_format, settings.log_level)))


def _list(as_json: bool) -> None:
    from tidemill.runtime.discover import installed_streams, load_streams

    rows = []
    for name in sorted(installed_streams()):
        (stream,) = load_streams([name])
        rows.append(
            {
                "name": stream.name,
                "reads": stream.topic,
                "publishes": ", ".join(cls.__contract__.topic for cls in stream.outputs) or None,
                "group": stream.group,
                "executor": stream.executor,
                "concurrency": stream.concurrency,
                "order": stream.order,
                "attempts": stream.retry.attempts,
                "timeout_seconds": stream.timeout,
                "handler": stream.reference,
            }
        )
    columns = {
        "name": "stream",
        "reads": "reads",
        "publishes": "publishes",
        "executor": "runs in",
        "concurrency": "at once",
        "attempts": "tries",
        "timeout_seconds": "limit, s",
    }
    print_rows(rows, columns, as_json=as_json, empty="No streams are installed: pip install 'tidemill[image]'.")
