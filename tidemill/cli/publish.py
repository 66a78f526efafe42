"""`tidemill publish`: one event from the command line, or a file of them, one JSON object a line.

Says of every event whether it was acknowledged; must never end with success where one was not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from tidemill.cli.terminal import command, err, out, print_json
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.cli.publish_lines import Receipt, Tally
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload
    from tidemill.publisher import Publisher
    from tidemill.publisher.preparing import Preparer

MOST_CONNECT_SECONDS = 5.0
"""A cluster that is there answers sooner; one that isn't should not hold up a person for all of --timeout."""

EPILOG = """
\b
Examples:
  tidemill publish image.requested --json '{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}'
  tidemill publish image.requested --file requests.ndjson
  jq -c .events[] dump.json | tidemill publish image.requested --file - --header batch=2026-11
  tidemill publish image.requested --file requests.ndjson --dry-run   check every line, send nothing

JSON has no dates, decimals or bytes: write "2026-11-22T12:30:00Z", "12.50", and base64.

Exit status: 0 if every event was acknowledged, 1 if any was not.
"""


@command
def publish(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, e.g. image.requested.")],
    json_: Annotated[str | None, typer.Option("--json", "-j", metavar="JSON", help="The event's fields.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="NDJSON, one event a line; - is standard input.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key; default: the field that the contract names.")] = None,
    subject: Annotated[str | None, typer.Option(help="What the event is about.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Further header; repeatable.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Id, so that publishing again is the same event.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="With --file: stop at the first bad line.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Check everything, send nothing.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for Kafka.")] = 30.0,
    json_out: Annotated[bool, typer.Option("--json-out", help="The result as JSON.")] = False,
) -> None:
    """Publish events and wait until Kafka has them."""
    from tidemill.config import load_settings
    from tidemill.contracts.catalogue import installed_events

    if (json_ is None) == (file is None):
        raise typer.BadParameter("Give the event with --json, or a file of them with --file.")
    if file is not None and id_ is not None:
        raise typer.BadParameter("--id is for one event; the events of a file each get their own.")
    cls = installed_events().by_type(type_)
    settings = load_settings().model_copy(update={"delivery_timeout_seconds": timeout, "buffer_wait_seconds": timeout})
    envelope: dict[str, Any] = {"key": key, "subject": subject, "headers": _headers(header or [])}
    if json_ is not None:
        _one(settings, cls, json_, {**envelope, "id": id_}, dry_run=dry_run, as_json=json_out)
        return
    assert file is not None
    with _opened(file) as (stream, size_bytes):
        tally = _many(settings, cls, stream, size_bytes, envelope, strict=strict, dry_run=dry_run, as_json=json_out)
    if tally.failed:
        raise typer.Exit(1)


def _one(
    settings: Settings, cls: type[Payload], text: str, envelope: dict[str, Any], *, dry_run: bool, as_json: bool
) -> None:
    from tidemill.json_events import from_json, parse_json

    event = from_json(cls, parse_json(text))
    if dry_run:
        event_id = envelope.pop("id")
        message = _offline(settings).prepare(event, event_id=event_id, **envelope)
        shown: dict[str, Any] = {
            "id": message.id,
            "topic": message.topic,
            "key": None if message.key is None else message.key.decode("utf-8", "replace"),
            "size_bytes": message.size_bytes,
        }
    else:
        with _connected(settings, cls) as publisher:
            receipt = publisher.publish(event, **envelope)
            shown = {"id": receipt.id, **receipt.result(settings.delivery_timeout_seconds)._asdict()}
    if as_json:
        print_json(shown)
        return
    out.print("[yellow]not sent:[/] the event is in order" if dry_run else "[green]✓[/] acknowledged")
    for name, value in shown.items():
        out.print(f"  {name:11}", end="")
        out.print(f"{value:,}" if isinstance(value, int) else str(value), markup=False, soft_wrap=True)


def _many(
    settings: Settings,
    cls: type[Payload],
    stream: BinaryIO,
    size_bytes: int | None,
    envelope: dict[str, Any],
    *,
    strict: bool,
    dry_run: bool,
    as_json: bool,
) -> Tally:
    from tidemill.cli.publish_lines import Tally, publish_lines
    from tidemill.cli.publish_progress import EventProgress, show_tally
    from tidemill.json_events import from_json, parse_json

    tally = Tally()

    def event(line: bytes) -> Payload:
        return from_json(cls, parse_json(line))

    try:
        with ExitStack() as stack:
            progress = stack.enter_context(EventProgress(err, size_bytes))
            if dry_run:
                preparer = _offline(settings)

                def send(line: bytes) -> Receipt | None:
                    preparer.prepare(event(line), **envelope)
                    return None

            else:
                publisher = stack.enter_context(_connected(settings, cls))

                def send(line: bytes) -> Receipt | None:
                    return publisher.publish(event(line), **envelope)

            publish_lines(
                stream, send, tally, strict=strict, most_bytes=2 * settings.max_event_bytes, progress=progress.show
            )
    finally:
        show_tally(tally, dry_run=dry_run, as_json=as_json)
    return tally


def _offline(settings: Settings) -> Preparer:
    """Checks and encodes as a publisher does, without broker and registry."""
    from tidemill.codec import Codec
    from tidemill.publisher.preparing import Preparer
    from tidemill.testing import MemorySchemas

    return Preparer(settings, Codec(MemorySchemas()))


def _connected(settings: Settings, cls: type[Payload]) -> Publisher:
    """A publisher for a topic that is there; so a missing one is an answer at once, not a time-out per event."""
    from confluent_kafka import KafkaError

    from tidemill import broker
    from tidemill.publisher import Publisher

    topic = settings.qualified(cls.__contract__.topic)
    wait_seconds = min(settings.delivery_timeout_seconds, MOST_CONNECT_SECONDS)
    if topic not in broker.cluster_metadata(settings, wait_seconds).topics:
        raise broker.from_kafka(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), settings, topic=topic)
    return Publisher(settings)


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if file == "-":
        yield sys.stdin.buffer, None
        return
    path = Path(file)
    try:
        with path.open("rb") as stream:
            yield stream, path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror or error}.", hint="Check its name.") from error


def _headers(texts: list[str]) -> list[tuple[str, str]]:
    headers = []
    for text in texts:
        name, found, value = text.partition("=")
        if not found:
            raise typer.BadParameter(f"A header is NAME=VALUE, found {text!r}.")
        headers.append((name, value))
    return headers
