"""Brings the registry in line with the contracts: each schema registered, each subject's compatibility level set.

Doing it again changes nothing. Contracts don't refer to each other, so their order doesn't matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tidemill.contracts.compatibility import Incompatibility, Version, incompatibilities
from tidemill.contracts.contract import Contract
from tidemill.contracts.registry import Registered, Registry
from tidemill.errors import IncompatibleSchema, SchemaNotRegistered


@dataclass(frozen=True)
class Registration:
    """What was, or would be, done for one contract."""

    contract: Contract
    action: Literal["registered", "level set", "unchanged"]
    version: int | None
    """None in a dry run, for a schema that isn't registered yet."""
    schema_id: int | None
    previous_level: str | None
    """The compatibility level before; None if none was set."""


def register_contracts(registry: Registry, contracts: Iterable[Contract], *, dry_run: bool) -> list[Registration]:
    """Register each contract's schema under its subject and set the subject's compatibility level.

    All contracts are compared with what is registered before anything is written.

    Args:
        registry: Where to.
        contracts: What; sorted by type in the answer.
        dry_run: Only say what would be done.

    Raises:
        IncompatibleSchema: A schema may not follow the registered ones, by its contract's level. Nothing was written.
        RegistryError: The registry didn't answer as it should.
    """
    ordered = sorted(contracts, key=lambda contract: contract.type)
    found = [_find(registry, contract) for contract in ordered]
    faults = [
        f"{contract.type}: {reason}"
        for contract, present in zip(ordered, found, strict=True)
        if present is None
        for reason in registered_incompatibilities(registry, contract)
    ]
    if faults:
        raise IncompatibleSchema(
            "\n".join(["Nothing was registered:", *(f"  - {fault}" for fault in faults)]),
            hint="Change the schema so that it fits, or publish the new shape as a new event type.",
        )
    return [_register(registry, contract, present, dry_run) for contract, present in zip(ordered, found, strict=True)]


def registered_incompatibilities(registry: Registry, contract: Contract) -> list[Incompatibility]:
    """Why a contract's schema may not follow the versions that are registered.

    Raises:
        RegistryError: The registry didn't answer as it should.
    """
    versions = [
        Version(f"version {version.version} in the registry", version.schema)
        for version in registry.versions(contract.subject)
    ]
    return incompatibilities(contract.schema, versions, contract.compatibility)


def _find(registry: Registry, contract: Contract) -> Registered | None:
    try:
        return registry.find(contract.subject, contract.schema_json)
    except SchemaNotRegistered:
        return None


def _register(registry: Registry, contract: Contract, present: Registered | None, dry_run: bool) -> Registration:
    level = registry.compatibility(contract.subject)
    action: Literal["registered", "level set", "unchanged"] = "unchanged"
    if level != contract.compatibility:
        action = "level set"
        if not dry_run:
            # Before the schema, since the registry judges it by the level.
            registry.set_compatibility(contract.subject, contract.compatibility)
    if present is None:
        action = "registered"
        present = None if dry_run else registry.register(contract.subject, contract.schema_json)
    return Registration(
        contract, action, present.version if present else None, present.schema_id if present else None, level
    )
