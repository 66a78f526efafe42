"""`tidemill up`, `down` and `status`: the local stack, started, stopped and looked at.

Relies on `tidemill.local`, imported only when a command runs. Whoever registers these commands gives `up` its last step
through `AFTER_START`: what to do with a stack that answers (make topics, register schemas).
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tidemill.cli.stack_progress import TerminalProgress
from tidemill.cli.terminal import command, err, out, print_json, print_rows
from tidemill.config import LocalStackSource, Settings, load_settings
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.local import Stack

KEPT = "; topics, schemas and mails are kept for the next `tidemill up`"
EXIT_NOT_UP = 3  # as `systemctl status` does

AfterStart = Callable[[Settings], Iterable[str]]


AFTER_START: AfterStart | None = None
"""Called with the stack's settings once Kafka and the registry answer; what it yields is shown, a line each.

Not called with `--no-registry`: topics and schemas belong together."""

UP_EXAMPLES = """
\b
Examples:
  tidemill up                   Kafka, registry and mailbox, until Ctrl-C
  tidemill up --detach          the same, in the background
  tidemill up --brokers 3       three brokers: see what one's death does
"""
DOWN_EXAMPLES = """
\b
Examples:
  tidemill down                stop; topics and schemas are kept
  tidemill down --wipe --yes   stop and delete them, without asking
"""
STATUS_EXAMPLES = """
\b
Examples:
  tidemill status
  tidemill status --json | jq -r .bootstrap_servers

Exit status: 0 if everything runs, 3 if not.
"""


@command
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running in the background.")] = False,
    brokers: Annotated[int, typer.Option(min=1, max=9, help="Kafka brokers; 3 gives replication 3.")] = 1,
    kafka_port: Annotated[
        int, typer.Option(min=0, max=65000, help="Port of the first broker, the next follow; 0: any free one.")
    ] = 9092,
    registry_port: Annotated[int, typer.Option(min=0, max=65000, help="Port of the registry; 0: any free one.")] = 8081,
    smtp_port: Annotated[
        int, typer.Option(min=0, max=65000, help="Where the mailbox takes mails; 0: any free one.")
    ] = 1025,
    mailbox_port: Annotated[int, typer.Option(min=0, max=65000, help="Where it shows them; 0: any free one.")] = 8025,
    any_port: Annotated[bool, typer.Option("--any-port", help="Free ports for everything.")] = False,
    no_registry: Annotated[bool, typer.Option("--no-registry", help="No registry; no topics are made.")] = False,
    no_mailbox: Annotated[bool, typer.Option("--no-mailbox", help="No mailbox.")] = False,
    kafka_java: Annotated[
        str | None, typer.Option(metavar="OPTIONS", help='Each broker\'s JVM options, e.g. "-Xmx1g -XX:+UseG1GC".')
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Longest wait until all answer.")] = 90.0,
) -> None:
    """Start a real Kafka, a schema registry and a mailbox on this machine."""
    from tidemill.local import Stack
    from tidemill.local.java import KAFKA_OPTIONS

    settings = load_settings()
    stack: Stack | None = None
    with _signals_as_interrupt():
        try:
            began = time.monotonic()
            with TerminalProgress(err) as progress:
                stack = Stack.start(
                    settings,
                    brokers=brokers,
                    kafka_port=0 if any_port else kafka_port,
                    registry_port=0 if any_port else registry_port,
                    with_registry=not no_registry,
                    smtp_port=None if no_mailbox else 0 if any_port else smtp_port,
                    mailbox_port=0 if any_port else mailbox_port,
                    detached=detach,
                    kafka_java=KAFKA_OPTIONS if kafka_java is None else tuple(shlex.split(kafka_java)),
                    timeout_seconds=timeout,
                    progress=progress,
                )
                notes: list[str] = []
                if stack.started_here and stack.registry_url and AFTER_START is not None:
                    progress.stage("Preparing topics and schemas")
                    notes = list(AFTER_START(stack.settings))
            _announce(stack, time.monotonic() - began, notes)
            if stack.started_here and not detach:
                _stay(stack)
        except KeyboardInterrupt:
            # Before `stack` is set, Stack.start has ended what it had started.
            if stack is None or not stack.started_here:
                raise
            _stop(stack)
        except BaseException:
            if stack is not None and stack.started_here:
                _stop(stack)
            raise


@command
def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Also delete all local topics, schemas and mails.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before deleting.")] = False,
) -> None:
    """Stop the local stack."""
    import tidemill.local as local

    settings = _settings_despite_damage()
    state_dir = settings.state_dir.absolute()
    if wipe and not yes and not typer.confirm(f"Delete all topics, schemas and mails in {state_dir}?", err=True):
        err.print("Nothing was changed.")
        return
    local.clean_up(settings)
    stack = local.Stack.find(settings)
    if stack is None:
        err.print("The local stack is not up.")
        if wipe:
            local.wipe(settings)
    else:
        with TerminalProgress(err) as progress:
            stack.stop(wipe=wipe, progress=progress)
        err.print("[green]✓[/] stopped" + ("" if wipe else KEPT))
    if wipe:
        err.print("[green]✓[/] deleted: topics, schemas, mails and logs")


@command
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what of the local stack runs, and where."""
    import tidemill.local as local

    settings = load_settings()
    local.clean_up(settings)
    stack = local.Stack.find(settings)
    if stack is None:
        if as_json:
            print_json({"up": False, "state_dir": settings.state_dir.absolute()})
        else:
            err.print("The local stack is not up. [bold]`tidemill up`[/] starts it.")
        raise typer.Exit(EXIT_NOT_UP)
    report = describe(stack)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if stack.dead:
        raise typer.Exit(EXIT_NOT_UP)


def describe(stack: Stack) -> dict[str, Any]:
    """Everything that `status` knows about a running stack, for JSON."""
    known = stack.description
    began = {program.name: program.started_at for program in known.programs}
    return {
        "up": not stack.dead,
        "kafka_version": known.kafka_version,
        "bootstrap_servers": stack.bootstrap_servers,
        "registry_url": stack.registry_url,
        "smtp_address": stack.smtp_address,
        "mailbox_url": stack.mailbox_url,
        "since": _iso(known.started_at),
        "detached": known.detached,
        "data_bytes": stack.data_bytes,
        "log_dir": stack.log_dir,
        "programs": [
            {
                "name": each.name,
                "state": "died" if not each.is_alive else "paused" if each.is_paused else "running",
                "pid": each.pid,
                "address": f"127.0.0.1:{each.port}",
                "since": _iso(began.get(each.name)),
                "memory_bytes": each.memory_bytes,
                "log": each.log,
            }
            for each in stack.programs
        ],
    }


class _SettingsWithoutStack(Settings):
    """Settings that don't read `stack.json`."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *args: PydanticBaseSettingsSource, **kwargs: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = super().settings_customise_sources(settings_cls, *args, **kwargs)
        return tuple(source for source in sources if not isinstance(source, LocalStackSource))


def _settings_despite_damage() -> Settings:
    """Settings, also when `stack.json` can't be read: `down` is what mends that."""
    try:
        return load_settings()
    except ConfigError as error:
        nothing: dict[str, Any] = {}
        try:
            return _SettingsWithoutStack(**nothing)
        except ValidationError:
            raise error from None  # it wasn't stack.json


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a closed terminal, stop a foreground stack as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(stack: Stack, took_seconds: float, notes: Iterable[str]) -> None:
    from tidemill.local.launch import listed

    if stack.started_here:
        what = [f"Kafka {stack.description.kafka_version}"]
        what += ["the schema registry"] if stack.registry_url else []
        what += ["the mailbox"] if stack.mailbox_url else []
        err.print(f"[green]✓[/] {listed(what)} {'are' if len(what) > 1 else 'is'} up, in {took_seconds:.1f} s")
    else:
        err.print(f"[green]✓[/] up already, since {datetime.fromtimestamp(stack.description.started_at):%d %b %H:%M}")
    for note in notes:
        err.print(f"[green]✓[/] {note}")
    out.print(f"\n  [bold]Kafka[/]     {stack.bootstrap_servers}")
    if stack.registry_url:
        out.print(f"  [bold]registry[/]  {stack.registry_url}")
    if stack.mailbox_url:
        out.print(f"  [bold]mailbox[/]   {stack.mailbox_url}, mails to {stack.smtp_address}")
    out.print(f"  [bold]logs[/]      {_short(stack.log_dir)}\n", soft_wrap=True)
    _warn_of_other_addresses(stack)
    steps = {
        "tidemill doctor": "check that everything answers",
        "tidemill worker image": "start the image stream",
        "tidemill publish image.requested --help": "give it something to do",
        "tidemill down": "stop (topics, schemas and mails are kept)",
    }
    err.print("Next" + ("" if stack.description.detached else ", in another terminal") + ":")
    for step, purpose in steps.items():
        err.print(f"  [bold]{step:41}[/]{purpose}")


def _warn_of_other_addresses(stack: Stack) -> None:
    meant = load_settings()
    if meant.bootstrap_servers != stack.bootstrap_servers:
        err.print(
            f"[yellow]note:[/] TIDEMILL_BOOTSTRAP_SERVERS or tidemill.toml says {meant.bootstrap_servers}: "
            "other commands will use that, not this stack.\n"
        )


def _stay(stack: Stack) -> None:
    err.print("\n[dim]Ctrl-C stops it.[/]")
    dead = stack.watch()
    if dead is None:
        err.print("Stopped by another command.")
        return
    from tidemill.local.launch import death

    raise death(dead, "while the stack was up; the rest was stopped too")


def _stop(stack: Stack) -> None:
    with TerminalProgress(err) as progress:
        stack.stop(progress=progress)
    err.print(f"[green]✓[/] stopped{KEPT}")


def _show(report: dict[str, Any]) -> None:
    rows = [
        {
            **each,
            "memory": f"{each['memory_bytes'] / 1e6:.0f} MB",
            "since": (each["since"] or "")[:19].replace("T", " "),
        }
        for each in report["programs"]
    ]
    columns = {
        "name": "PROGRAM",
        "state": "STATE",
        "pid": "PID",
        "address": "ADDRESS",
        "since": "SINCE",
        "memory": "MEMORY",
    }
    print_rows(rows, columns, as_json=False, empty="")
    out.print(f"\nKafka     {report['bootstrap_servers']}")
    if report["registry_url"]:
        out.print(f"registry  {report['registry_url']}")
    if report["mailbox_url"]:
        out.print(f"mailbox   {report['mailbox_url']}, mails to {report['smtp_address']}")
    out.print(f"data      {report['data_bytes'] / 1e6:.1f} MB on disk")
    out.print(f"logs      {_short(report['log_dir'])}", soft_wrap=True)
    for each in report["programs"]:
        if each["state"] == "died":
            err.print(f"[bold red]{each['name']} died[/]; its log: {each['log']}. `tidemill up` starts all anew.")


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def _short(path: Path) -> str:
    """A path as people write it, with ~ for their home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
