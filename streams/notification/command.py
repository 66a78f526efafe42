"""`tidemill notification`: keys, recipients and their addresses, what waits, and a notice through the stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from streams.notification.address import NewAddress
    from streams.notification.directory import Directory
    from streams.notification.settings import NotificationSettings
    from tidemill.events import NotificationRequested, NotificationSent

app = typer.Typer(no_args_is_help=True, help="Who is notified how; keys for Web Push; send a notice.")
recipient = typer.Typer(no_args_is_help=True, help="Recipients: who they are and how they want to be told.")
address = typer.Typer(no_args_is_help=True, help="Addresses: where recipients are reached.")
app.add_typer(recipient, name="recipient")
app.add_typer(address, name="address")

KEYS_EPILOG = """
\b
Example:
  tidemill notification keys vapid.pem
"""
RECIPIENT_EPILOG = """
\b
Examples:
  tidemill notification recipient add u-17 --time-zone Europe/Berlin --quiet 22:00-07:00 --rate 5
  tidemill notification recipient add u-17 --channels push,email

\b
A recipient who is there already is changed: what isn't given is as by default.
"""
ADDRESS_EPILOG = """
\b
Examples:
  tidemill notification address add u-17 email ada@example.com
  tidemill notification address add u-17 push - < subscription.json
  tidemill notification address add u-17 webhook https://hooks.example.com/tidemill
  echo slack://T0/B0/token | tidemill notification address add u-17 chat -

\b
With - it is read from standard input, so that no secret is seen in the list of processes.
"""
SEND_EPILOG = """
\b
Examples:
  tidemill notification send --to u-17 --title "Your report is ready" --url https://app.example.com/r/1
  tidemill notification send --to u-17 --title "Disk full" --urgency high --channels sms,email --json
  tidemill notification send --to u-17 --title "Disk full" --dry-run

\b
A worker must run: tidemill worker notification notification_due
"""
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command(epilog=KEYS_EPILOG)
@command
def keys(file: Annotated[Path, typer.Argument(help="Where the private key is to be kept.")]) -> None:
    """Make a key for Web Push (VAPID), and say what browsers and the worker need of it. Keep it: a new one loses all
    subscriptions."""
    import os

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from streams.notification.web_push import public_key, read_key
    from tidemill.errors import ConfigError

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(pem)
        err.print(f"{file} written; for its owner only.", markup=False)
    except FileExistsError:
        err.print(f"{file} is there already and stays as it is.", markup=False)
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}.") from error
    key = public_key(read_key(file))
    out.print(f"TIDEMILL_NOTIFICATION_VAPID_KEY={file.absolute()}", markup=False, soft_wrap=True, highlight=False)
    out.print("TIDEMILL_NOTIFICATION_VAPID_SUBJECT=mailto:you@example.com", markup=False, highlight=False)
    out.print(f"applicationServerKey: {key}", markup=False, soft_wrap=True, highlight=False)


@recipient.command("add", epilog=RECIPIENT_EPILOG)
@command
def add_recipient(
    id: Annotated[str, typer.Argument(help="As events name them.")],
    time_zone: Annotated[str, typer.Option(help="Of the tz database, e.g. Europe/Berlin.")] = "UTC",
    quiet: Annotated[str | None, typer.Option(help="Hours in which only urgent notices go, e.g. 22:00-07:00.")] = None,
    rate: Annotated[int | None, typer.Option(help="Most notices an hour; more go later as one.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language and region, e.g. de or pt-BR.")] = None,
    channels: Annotated[str | None, typer.Option(help="In order of preference, e.g. push,email.")] = None,
) -> None:
    """Add a recipient, or change one."""
    from streams.notification.directory import Recipient

    chosen = tuple(each.strip() for each in channels.split(",")) if channels else ()
    with _directory() as (_, directory):
        is_new = directory.put(Recipient(id, time_zone, quiet, rate, locale, chosen))
    err.print(f"{id} {'added' if is_new else 'changed'}.", markup=False)


@recipient.command("show")
@command
def show(id: str, as_json: Json = False) -> None:
    """Show a recipient and where they are reached. Secrets aren't shown."""
    with _directory() as (_, directory):
        found, addresses = directory.get(id)
    rows = [
        {"id": each.id, "channel": each.channel, "address": each.shown, "state": each.state, "note": each.note}
        for each in addresses
    ]
    facts: dict[str, Any] = {
        "id": found.id,
        "time_zone": found.time_zone,
        "quiet": found.quiet,
        "rate_per_hour": found.rate_per_hour,
        "locale": found.locale,
        "channels": list(found.channels),
    }
    if as_json:
        print_json({**facts, "addresses": rows})
        return
    facts["channels"] = ", ".join(found.channels) or "as usual"
    for name, value in facts.items():
        out.print(f"{name:14}{'-' if value is None else value}", markup=False, highlight=False)
    out.print()
    columns = {"id": "ADDRESS", "channel": "CHANNEL", "address": "WHERE", "state": "STATE", "note": "WHY"}
    print_rows(rows, columns, as_json=False, empty="No addresses: `tidemill notification address add`.")


@recipient.command("list")
@command
def list_recipients(as_json: Json = False) -> None:
    """List all recipients' ids."""
    with _directory() as (_, directory):
        rows = [{"id": id} for id in directory.ids()]
    print_rows(rows, {"id": "RECIPIENT"}, as_json=as_json, empty="No recipients.")


@recipient.command("remove")
@command
def remove_recipient(id: str, dry_run: DryRun = False) -> None:
    """Remove a recipient with all that is known of them; what still waits for them is never sent."""
    with _directory() as (_, directory):
        _, addresses = directory.get(id)
        if not dry_run:
            directory.remove(id)
    count = f"{len(addresses)} address{'' if len(addresses) == 1 else 'es'}"
    err.print(f"{id} with {count} {'would be removed' if dry_run else 'removed'}.", markup=False)


@recipient.command("test")
@command
def try_recipient(id: str, as_json: Json = False) -> None:
    """Send a test notice to each address at once, without Kafka, and show what each answers."""
    import asyncio

    from streams.notification.trying import try_all

    rows = asyncio.run(try_all(id))
    columns = {"address": "ADDRESS", "channel": "CHANNEL", "where": "WHERE", "result": "", "reason": "WHY"}
    print_rows(rows, columns, as_json=as_json, empty=f"{id} has no addresses.")
    raise typer.Exit(0 if rows and all(row["result"] != "refused" for row in rows) else 1)


@address.command("add", epilog=ADDRESS_EPILOG)
@command
def add_address(
    id: Annotated[str, typer.Argument(help="The recipient's.")],
    channel: Annotated[str, typer.Argument(help="push, chat, sms, webhook or email.")],
    value: Annotated[str, typer.Argument(help="The address, or - to read it from standard input.")],
    secret_file: Annotated[
        Path | None, typer.Option(help="File with a webhook's secret; default: a new one is made and printed.")
    ] = None,
) -> None:
    """Add an address to a recipient; one that is there already is brought up to date."""
    text = (sys.stdin.read(100_000) if value == "-" else value).strip()
    with _directory() as (settings, directory):
        new = _new_address(channel, text, secret_file, settings)
        added = directory.add(id, new)
    err.print(f"{added.id}: {channel} {new.shown} added to {id}.", markup=False)
    if channel == "webhook" and secret_file is None:
        err.print("The receiver verifies with this secret; it isn't shown again:", markup=False)
        out.print(new.secret["secrets"][0], markup=False, soft_wrap=True, highlight=False)


@address.command("remove")
@command
def remove_address(address_id: str, dry_run: DryRun = False) -> None:
    """Remove an address."""
    with _directory() as (_, directory):
        found = directory.address(address_id)
        if not dry_run:
            directory.drop(address_id)
    said = "would be removed" if dry_run else "removed"
    err.print(f"{address_id}: {found.channel} {found.shown} {said}.", markup=False)


@address.command("rotate")
@command
def rotate(
    address_id: str,
    drop_old: Annotated[bool, typer.Option(help="Sign with the new one alone, from now on.")] = False,
) -> None:
    """Give a webhook a new secret; until the next change it is signed with the one before it, too."""
    from streams.notification.address import new_secret

    secret = new_secret()
    with _directory() as (_, directory):
        directory.rotate(address_id, secret, keep_old=not drop_old)
    out.print(secret, markup=False, soft_wrap=True, highlight=False)


@app.command()
@command
def waiting(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what waits: for quiet hours, rates and digests to end, or to be tried again; due first in front."""
    from datetime import UTC, datetime

    from streams.notification.waiting import Books

    with _directory() as (settings, directory):
        found = Books(directory.database, settings).waiting(limit)
    rows = [
        {
            "due": datetime.fromtimestamp(row.due, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "recipient": row.recipient,
            "waits_for": "retry" if row.state == "retrying" else row.kind.partition(":")[2] or row.waits_for,
            "notices": row.notices,
            "delivery": row.id,
        }
        for row in found
    ]
    columns = {"due": "DUE (UTC)", "recipient": "RECIPIENT", "waits_for": "FOR", "notices": "NOTICES", "delivery": "ID"}
    print_rows(rows, columns, as_json=as_json, empty="Nothing waits.")


@app.command(epilog=SEND_EPILOG)
@command
def send(
    to: Annotated[str, typer.Option("--to", help="The recipient's id.")],
    title: Annotated[str, typer.Option(help="One line.")],
    body: Annotated[str, typer.Option(help="Text.")] = "",
    url: Annotated[str | None, typer.Option(help="Where a click leads.")] = None,
    urgency: Annotated[str, typer.Option(help="low, normal or high.")] = "normal",
    channels: Annotated[str | None, typer.Option(help="In order of preference, e.g. push,email.")] = None,
    digest: Annotated[str | None, typer.Option(help="Name of a digest to gather it in.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for the outcome, seconds.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it; send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send a notice through the stream, and wait for what becomes of it."""
    from dataclasses import asdict

    from streams.notification.jobs import send_and_wait
    from tidemill.config import load_settings
    from tidemill.events import NotificationRequested

    record: dict[str, Any] = {"recipient": to, "title": title, "body": body, "url": url, "urgency": urgency}
    chosen = [each.strip() for each in channels.split(",")] if channels else []
    # A channel that doesn't exist is refused where the event is checked against its contract.
    request = NotificationRequested(**record, channels=chosen, digest=digest)  # type: ignore[arg-type]
    if dry_run:
        _check(request)
        return
    found = send_and_wait(load_settings(), request, timeout)
    if as_json:
        print_json({"failure": found} if found is None or isinstance(found, str) else asdict(found))
    else:
        _show_outcome(found, timeout)
    raise typer.Exit(1 if found is None or isinstance(found, str) else 0)


def _check(request: NotificationRequested) -> None:
    from datetime import UTC, datetime

    from streams.notification.request import check_request
    from tidemill.errors import InvalidEvent
    from tidemill.validation import Mismatch, compile_check

    contract = request.__contract__
    try:
        compile_check(contract.schema)(request.to_record())
    except Mismatch as mismatch:
        raise InvalidEvent(contract.type, mismatch.path, mismatch.found, mismatch.expected) from None
    check_request(request, event_id="check", time=datetime.now(UTC))
    with _directory() as (_, directory):
        directory.get(request.recipient)
    err.print("The notice can be sent; nothing was.")


def register(commands: typer.Typer) -> None:
    """Add the commands to `tidemill`; the entry point `tidemill.commands`."""
    commands.add_typer(app, name="notification")


@contextmanager
def _directory() -> Iterator[tuple[NotificationSettings, Directory]]:
    from streams.notification.database import Database
    from streams.notification.directory import Directory
    from streams.notification.settings import load_notification_settings
    from tidemill.config import load_settings

    settings = load_notification_settings()
    database = Database(settings, load_settings())
    try:
        yield settings, Directory(database)
    finally:
        database.close()


def _new_address(channel: str, text: str, secret_file: Path | None, settings: NotificationSettings) -> NewAddress:
    from streams.notification import address as kinds
    from streams.notification.request import CHANNELS, shown
    from tidemill.errors import ConfigError

    match channel:
        case "push":
            return kinds.push_address(text, settings)
        case "webhook":
            secret = _read(secret_file) if secret_file is not None else None
            return kinds.webhook_address(text, secret, settings)
        case "chat" | "sms":
            return kinds.service_address(channel, text, settings)
        case "email":
            return kinds.email_address(text)
    raise ConfigError(f"There is no channel {shown(channel)}; expected {', '.join(CHANNELS)}.")


def _read(file: Path) -> str:
    from tidemill.errors import ConfigError

    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} can't be read: {type(error).__name__}.") from error


def _show_outcome(found: NotificationSent | str | None, timeout: float) -> None:
    if found is None:
        err.print(f"[red]✗[/] no answer within {timeout:g} s.")
        err.print("[bold]next:[/]  Does a worker run? `tidemill worker notification`; nothing is lost meanwhile.")
        return
    if isinstance(found, str):
        out.print("[red]✗[/] became a dead letter: ", end="")
        out.print(found, markup=False, soft_wrap=True)
        return
    if found.outcome == "waiting" and found.until is not None:
        waits_for = (found.waits_for or "").replace("_", " ")
        why = "nobody was reached yet: is tried again" if waits_for == "retry" else f"waits for {waits_for}: goes"
        out.print(f"[yellow]…[/] {why} at {found.until:%Y-%m-%d %H:%M:%S} UTC")
    elif found.outcome == "expired":
        out.print("[yellow]–[/] has expired, and wasn't sent.")
    for each in found.tried:
        mark = {"accepted": "[green]✓[/]", "refused": "[red]✗[/]", "skipped": "[yellow]–[/]"}[each.result]
        out.print(f"{mark} ", end="")
        out.print(f"{each.channel} {each.address} {each.reason}".rstrip(), markup=False, soft_wrap=True)
