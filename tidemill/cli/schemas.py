"""`tidemill schemas`: check contracts, register them, generate their classes, list them.

Shows and writes; what is computed lives in `tidemill.contracts`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows
from tidemill.config import Settings, load_settings
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.checking import CheckedContract, check_contracts
from tidemill.contracts.contract import Contract
from tidemill.contracts.duration import format_duration
from tidemill.contracts.folder import read_folder
from tidemill.contracts.generate import render_module
from tidemill.contracts.git_history import NoHistory, snapshot
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.errors import ContractError, RegistryError

app = typer.Typer(
    help="Contracts: check, register, generate, list.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

OWN_MODULE = Path("tidemill/events.py")

CHECK_EXAMPLES = """
\b
Examples:
  tidemill schemas check
  tidemill schemas check --offline --against v1.4.0

Exit status: 1 if a contract may not follow its earlier versions.
"""
REGISTER_EXAMPLES = """
\b
Examples:
  tidemill schemas register --dry-run
  tidemill schemas register --schemas contracts
"""
GENERATE_EXAMPLES = """
\b
Examples:
  tidemill schemas generate
  tidemill schemas generate --schemas contracts --out billing/events.py
  tidemill schemas generate --check   in CI: fails if the module is stale
"""
LIST_EXAMPLES = """
\b
Examples:
  tidemill schemas list --json | jq -r '.[].topic'
"""

SchemasOption = Annotated[
    Path | None,
    typer.Option("--schemas", metavar="DIR", help="Folder of contracts (*.avsc). Default: `schemas_dir`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output instead of a table.")]


@app.command(epilog=CHECK_EXAMPLES)
@command
def check(
    schemas: SchemasOption = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REV", help="Git revision to compare with. Default: where the branch left main."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Don't ask the registry.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that changed contracts break no reader.

    Each contract is compared with its versions in the registry and in git, by its own compatibility level.
    """
    settings = load_settings()
    folder = schemas or settings.schemas_dir
    contracts = [file.contract for file in read_folder(folder)]
    history = snapshot(folder, against)
    if isinstance(history, NoHistory):
        err.print(f"git: skipped, {history.reason}.", markup=False)
    registry = None if offline else _answering(settings)
    try:
        checked = check_contracts(contracts, None if isinstance(history, NoHistory) else history, registry)
    finally:
        if registry is not None:
            registry.close()
    _show_check(checked, as_json=as_json)
    if any(each.faults for each in checked):
        raise typer.Exit(1)


@app.command(epilog=REGISTER_EXAMPLES)
@command
def register(
    schemas: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of contracts. Default: those of the installed packages."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put schemas and compatibility levels into the registry.

    Doing it again changes nothing. Nothing is written if any contract may not follow its registered versions.
    """
    settings = load_settings()
    with Registry(settings) as registry:
        done = register_contracts(registry, _contracts(schemas), dry_run=dry_run)
        namespace = f", namespace {settings.namespace}" if settings.namespace else ""
        err.print(f"{'Dry run: ' if dry_run else ''}registry {registry.url}{namespace}", markup=False)
    rows = [
        {
            "type": each.contract.type,
            "subject": settings.qualified(each.contract.subject),
            "action": f"would be {each.action}" if dry_run and each.action != "unchanged" else each.action,
            "version": each.version,
            "id": each.schema_id,
            "compatibility": each.contract.compatibility,
            "previous_compatibility": each.previous_level,
        }
        for each in done
    ]
    columns = {
        "type": "EVENT TYPE",
        "action": "WHAT",
        "version": "VERSION",
        "id": "ID",
        "compatibility": "COMPATIBILITY",
    }
    print_rows(rows, columns, as_json=as_json, empty="There are no contracts.")


@app.command(epilog=GENERATE_EXAMPLES)
@command
def generate(
    schemas: SchemasOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=f"Module to write. Default: {OWN_MODULE}, if it is there."),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; show the difference and exit with 1 if it is stale.")
    ] = False,
) -> None:
    """Write the Python module of event classes."""
    path = output or OWN_MODULE
    if output is None and not OWN_MODULE.exists():
        raise ContractError(f"There is no {OWN_MODULE} here to write.", hint="Name yours: --out billing/events.py.")
    contracts = read_folder(schemas or load_settings().schemas_dir)
    text = render_module(contracts)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == before:
        err.print(f"{path} is up to date: {_count(len(contracts))}.", markup=False)
        return
    if check_only:
        difference = difflib.unified_diff(
            before.splitlines(), text.splitlines(), str(path), f"{path} (generated)", lineterm=""
        )
        out.print("\n".join(difference), markup=False, soft_wrap=True)
        raise ContractError(f"{path} is stale.", hint="Run `tidemill schemas generate`.")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ContractError(f"{path} can't be written: {error.strerror}.", hint="Create its folder first.") from error
    err.print(f"{path} written: {_count(len(contracts))}.", markup=False)


@app.command("list", epilog=LIST_EXAMPLES)
@command
def list_contracts(
    schemas: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of contracts. Default: those of the installed packages."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List event types with their topics and settings."""
    rows = [
        {
            "type": contract.type,
            "topic": contract.topic,
            "key": contract.key,
            "partitions": contract.partitions,
            "retention": format_duration(contract.retention),
            "cleanup": contract.cleanup,
            "compatibility": contract.compatibility,
        }
        for contract in _contracts(schemas)
    ]
    columns = {
        "type": "EVENT TYPE",
        "topic": "TOPIC",
        "key": "KEY",
        "partitions": "PARTITIONS",
        "retention": "RETENTION",
        "cleanup": "CLEANUP",
        "compatibility": "COMPATIBILITY",
    }
    if all(row["topic"] == row["type"] for row in rows):
        # The usual case, and without it the table fits into 80 columns.
        columns["type"] = "EVENT TYPE = TOPIC"
        del columns["topic"]
    print_rows(rows, columns, as_json=as_json, empty="No contracts are installed.")


def _contracts(folder: Path | None) -> list[Contract]:
    if folder is not None:
        return [file.contract for file in read_folder(folder)]
    return [cls.__contract__ for cls in installed_events()]


def _answering(settings: Settings) -> Registry | None:
    """The registry; None if it is away. One that answers wrongly is an error."""
    registry = Registry(settings)
    try:
        registry.subjects()
    except RegistryError as error:
        registry.close()
        if not error.retriable:
            raise
        err.print(f"registry: skipped. {error}", markup=False)
        return None
    return registry


def _show_check(checked: Sequence[CheckedContract], *, as_json: bool) -> None:
    if as_json:
        print_json([_as_json(each) for each in checked])
        return
    rows = [
        {
            "type": each.contract.type,
            "compatibility": each.contract.compatibility,
            "registry": each.registry,
            "git": each.git,
        }
        for each in checked
    ]
    columns = {"type": "EVENT TYPE", "compatibility": "COMPATIBILITY", "registry": "REGISTRY", "git": "GIT"}
    print_rows(rows, columns, as_json=False, empty="There are no contracts.")
    for each in checked:
        for fault in each.faults:
            err.print(f"[bold red]{each.contract.type}:[/] ", end="")
            err.print(fault, markup=False)


def _as_json(checked: CheckedContract) -> dict[str, Any]:
    return {
        "type": checked.contract.type,
        "compatibility": checked.contract.compatibility,
        "registry": checked.registry,
        "git": checked.git,
        "faults": list(checked.faults),
    }


def _count(contracts: int) -> str:
    return "1 event type" if contracts == 1 else f"{contracts} event types"
