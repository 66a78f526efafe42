"""`tidemill cancel`: asks the streams to give up a job. It only asks: what became of that is told on `job.progress`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from tidemill.cli.terminal import command, out, print_json

MOST_CONNECT_SECONDS = 5.0
"""A cluster that is there answers sooner."""

EPILOG = """
\b
Examples:
  tidemill cancel 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f
  tidemill cancel 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --why "wrong file"
  tidemill cancel 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f --json | jq -r .job

A job has the id of the event that it began with, as its publisher was told. Streams
with cancellable=True begin no event of it any more, also none that is published within
the next days, and stop what runs. What is done stays done.

Exit status: 0 if Kafka has the request, 1 if not. Whether there is such a job isn't looked at.
"""


@command
def cancel(
    job: Annotated[str, typer.Argument(metavar="ID", help="The job: the id of its first event.")],
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="The reason, for whoever looks at the job.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who asks; default: your user name here.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for Kafka.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Ask the streams to give up a job."""
    from tidemill import broker
    from tidemill.config import load_settings
    from tidemill.errors import UnknownTopic
    from tidemill.events import JobCancel
    from tidemill.publisher import Publisher

    asked = JobCancel(job=job, by=by or getpass.getuser(), why=why)
    settings = load_settings().model_copy(update={"delivery_timeout_seconds": timeout, "buffer_wait_seconds": timeout})
    topic = settings.qualified(JobCancel.__contract__.topic)
    # An answer at once, rather than after --timeout.
    if topic not in broker.cluster_metadata(settings, min(timeout, MOST_CONNECT_SECONDS)).topics:
        raise UnknownTopic(
            f"Topic {topic!r} doesn't exist at {settings.bootstrap_servers}.",
            hint="Create it from its contract with `tidemill topics apply`.",
        )
    with Publisher(settings) as publisher:
        receipt = publisher.publish(asked)
        delivered = receipt.result(timeout)
    if as_json:
        print_json({"job": job, "by": asked.by, "why": why, "id": receipt.id, **delivered._asdict()})
        return
    out.print("[green]✓[/] the streams are asked to give up job ", end="")
    out.print(job, markup=False, highlight=False, soft_wrap=True)
    out.print(f"  what became of it: tidemill job {job}", markup=False, highlight=False, soft_wrap=True)
