"""Reads a folder of contracts, `schemas/*.avsc`, and reports the faults of all files at once.

Computing is in `read_contracts`, which takes texts; only `read_folder` touches the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.contracts.contract import Contract
from tidemill.contracts.faults import Fault, raise_faults
from tidemill.contracts.rules import examine
from tidemill.contracts.schema import AvroType, Record
from tidemill.errors import ContractError


@dataclass(frozen=True)
class ContractFile:
    """A contract with the types that its schema defines."""

    origin: str
    """The file's name."""
    contract: Contract
    record: Record
    """The event's own type."""
    named: dict[str, AvroType]
    """Every named type in the schema by full name, the event's own included."""


def read_folder(folder: Path) -> list[ContractFile]:
    """Every contract of a folder, sorted by event type.

    Raises:
        ContractError: The folder or a file can't be read, there is no contract, or contracts have faults; all named.
    """
    if not folder.is_dir():
        raise ContractError(
            f"There is no folder of contracts at {folder}.",
            hint="Give it with --schemas, or as `schemas_dir` in tidemill.toml.",
        )
    texts = {}
    for path in sorted(folder.glob("*.avsc")):
        try:
            texts[path.name] = path.read_bytes()
        except OSError as error:
            raise ContractError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    if not texts:
        raise ContractError(f"There is no contract (*.avsc) in {folder}.", hint="Write one file for each event type.")
    return read_contracts(texts, subject=str(folder))


def read_contracts(texts: Mapping[str, bytes], *, subject: str) -> list[ContractFile]:
    """Contracts from the contents of .avsc files, sorted by event type.

    Args:
        texts: File name -> content.
        subject: Where the files are, for messages.

    Raises:
        ContractError: Contracts have faults, alone or together; all are named.
    """
    faults: list[Fault] = []
    read: list[ContractFile] = []
    for name, text in texts.items():
        try:
            schema = parse_avsc(text)
        except ValueError as error:
            faults.append(Fault(name, f"it is not JSON: {error}.", "Mend it at that place."))
            continue
        examined = examine(schema, origin=name)
        faults += examined.faults
        if not examined.faults:
            assert examined.record is not None
            contract = Contract(**examined.properties)
            read.append(ContractFile(name, contract, examined.record, examined.named))
    faults += _clashes(read)
    raise_faults(faults, subject=subject)
    return sorted(read, key=lambda file: file.contract.type)


def parse_avsc(text: bytes) -> Any:
    """The JSON data of an .avsc file.

    Raises:
        ValueError: It isn't UTF-8 or JSON, or an object names a property twice, of which JSON readers drop one.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"property {next(name for name in names if names.count(name) > 1)!r} is written twice")
        return read

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a JSON number")

    # utf-8-sig: editors on Windows put a byte order mark before JSON.
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse)


def _clashes(read: list[ContractFile]) -> list[Fault]:
    """Names that two contracts share though they must not."""
    faults = []
    seen: dict[tuple[str, str], ContractFile] = {}
    for file in read:
        contract = file.contract
        # Kafka refuses a topic whose name differs from another's only in dots and underscores: its metrics would clash.
        for what, name in (("type", contract.type), ("topic", contract.topic.replace("_", "."))):
            other = seen.setdefault((what, name), file)
            if other is not file:
                theirs = getattr(other.contract, what)
                found = f"{what} {getattr(contract, what)!r} is taken by {other.origin} ({theirs!r})."
                faults.append(Fault(file.origin, found, "Give each contract its own."))
    return faults
