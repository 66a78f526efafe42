"""Compares contracts with what is out there already: versions in the registry and in git.

Asks the registry through `registry.py` only; git's side is read before, by `git_history.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tidemill.contracts.canonical import canonical_json
from tidemill.contracts.compatibility import Version, incompatibilities
from tidemill.contracts.contract import Contract
from tidemill.contracts.folder import parse_avsc
from tidemill.contracts.git_history import Snapshot
from tidemill.contracts.registry import Registry
from tidemill.errors import ContractError

SKIPPED = "skipped"
NEW = "new"
SAME = "unchanged"
COMPATIBLE = "compatible"
INCOMPATIBLE = "incompatible"


@dataclass(frozen=True)
class CheckedContract:
    """What a comparison found."""

    contract: Contract
    registry: str
    """One of the words above, perhaps with the version."""
    git: str
    """One of the words above."""
    faults: tuple[str, ...]
    """Why the contract may not follow the earlier versions; empty if it may."""


def check_contracts(
    contracts: Iterable[Contract], history: Snapshot | None, registry: Registry | None
) -> list[CheckedContract]:
    """Compare each contract with its earlier versions, by its own compatibility level.

    Args:
        contracts: The contracts as they are now.
        history: As they were in git; None skips this.
        registry: Where they are registered; None skips this.

    Raises:
        RegistryError: The registry didn't answer as it should.
    """
    checked = []
    for contract in contracts:
        in_registry, registry_faults = _against_registry(contract, registry)
        in_git, git_faults = _against_git(contract, history)
        checked.append(CheckedContract(contract, in_registry, in_git, (*registry_faults, *git_faults)))
    return checked


def _against_registry(contract: Contract, registry: Registry | None) -> tuple[str, list[str]]:
    if registry is None:
        return SKIPPED, []
    versions = registry.versions(contract.subject)
    if not versions:
        return NEW, []
    latest = versions[-1]
    label = f"version {latest.version}"
    if canonical_json(latest.schema) == contract.schema_json:
        return f"{SAME} ({label})", []
    earlier = [Version(f"version {version.version} in the registry", version.schema) for version in versions]
    faults = [str(reason) for reason in incompatibilities(contract.schema, earlier, contract.compatibility)]
    if not faults and not registry.accepts(contract.subject, contract.schema_json):
        level = registry.compatibility(contract.subject)
        faults = [
            f"the registry itself refuses it as the next version; its level for {contract.subject!r} is {level}, "
            f"the contract's is {contract.compatibility}."
        ]
    return f"{INCOMPATIBLE if faults else COMPATIBLE} ({label})", faults


def _against_git(contract: Contract, history: Snapshot | None) -> tuple[str, list[str]]:
    if history is None:
        return SKIPPED, []
    text = history.files.get(f"{contract.type}.avsc")
    if text is None:
        return NEW, []
    try:
        schema = parse_avsc(text)
        if canonical_json(schema) == contract.schema_json:
            return SAME, []
        version = Version(f"{history.revision} in git", schema)
        faults = [str(reason) for reason in incompatibilities(contract.schema, [version], contract.compatibility)]
    except (ValueError, ContractError):
        # What was broken there was never in use; the registry's side tells what readers know.
        return f"{NEW} (was broken at {history.revision})", []
    return INCOMPATIBLE if faults else COMPATIBLE, faults
