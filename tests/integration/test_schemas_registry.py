"""Contracts in a real registry."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tidemill.cli.schemas import app
from tidemill.config import Settings
from tidemill.contracts import Contract
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.errors import DecodeError, IncompatibleSchema, SchemaNotRegistered
from tidemill.events import ImageProcessed, ImageRequested

CONTRACTS = [ImageRequested.__contract__, ImageProcessed.__contract__]


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry(settings) as registry:
        yield registry


def changed(contract: Contract, **field: Any) -> Contract:
    """The contract with one more field."""
    schema = json.loads(contract.schema_json)
    schema["fields"].append(field)
    return Contract.from_schema(schema, origin="changed")


def test_a_registered_schema_is_found_by_itself_and_by_its_id(registry: Registry) -> None:
    for contract in CONTRACTS:
        with pytest.raises(SchemaNotRegistered, match="Run `tidemill schemas register`"):
            registry.lookup_id(contract.subject, contract.schema_json)

    done = register_contracts(registry, CONTRACTS, dry_run=False)

    assert [(each.contract.type, each.action, each.version) for each in done] == [
        ("image.processed", "registered", 1),
        ("image.requested", "registered", 1),
    ]
    for each in done:
        assert each.schema_id is not None
        assert registry.lookup_id(each.contract.subject, each.contract.schema_json) == each.schema_id
        assert registry.schema_by_id(each.schema_id) == each.contract.schema
        assert registry.compatibility(each.contract.subject) == each.contract.compatibility
    assert registry.subjects() == ["image.processed-value", "image.requested-value"]


def test_registering_again_changes_nothing(registry: Registry, settings: Settings) -> None:
    first = register_contracts(registry, CONTRACTS, dry_run=False)

    with Registry(settings) as another:
        second = register_contracts(another, CONTRACTS, dry_run=False)

    assert [each.action for each in second] == ["unchanged", "unchanged"]
    assert [each.schema_id for each in second] == [each.schema_id for each in first]
    assert len(registry.versions("image.requested-value")) == 1


def test_a_dry_run_writes_nothing(registry: Registry) -> None:
    done = register_contracts(registry, CONTRACTS, dry_run=True)

    assert [(each.action, each.schema_id) for each in done] == [("registered", None), ("registered", None)]
    assert registry.subjects() == []


def test_a_compatible_change_becomes_the_next_version(registry: Registry) -> None:
    register_contracts(registry, CONTRACTS, dry_run=False)
    contract = changed(CONTRACTS[0], name="priority", type="int", default=0)

    (done,) = register_contracts(registry, [contract], dry_run=False)

    assert (done.action, done.version) == ("registered", 2)
    latest = registry.latest(contract.subject)
    assert latest is not None
    assert (latest.version, latest.schema_id, latest.schema) == (2, done.schema_id, contract.schema)
    assert [version.version for version in registry.versions(contract.subject)] == [1, 2]


def test_if_one_contract_does_not_fit_none_is_registered(registry: Registry) -> None:
    register_contracts(registry, [CONTRACTS[0]], dry_run=False)
    broken = changed(CONTRACTS[0], name="priority", type="int")

    with pytest.raises(IncompatibleSchema) as caught:
        register_contracts(registry, [broken, CONTRACTS[1]], dry_run=False)

    assert "image.requested: field 'priority' was added without a default" in str(caught.value)
    assert "(against version 1 in the registry)" in str(caught.value)
    assert registry.subjects() == ["image.requested-value"]
    assert not registry.accepts(broken.subject, broken.schema_json)


def test_the_registry_itself_guards_the_level(registry: Registry) -> None:
    register_contracts(registry, [CONTRACTS[0]], dry_run=False)
    broken = changed(CONTRACTS[0], name="priority", type="int")

    with pytest.raises(IncompatibleSchema, match=r"refuses the new schema of 'image.requested-value'"):
        registry.register(broken.subject, broken.schema_json)


def test_a_changed_level_is_set(registry: Registry) -> None:
    register_contracts(registry, [CONTRACTS[0]], dry_run=False)
    stricter = dataclasses.replace(CONTRACTS[0], compatibility="FULL_TRANSITIVE")

    (done,) = register_contracts(registry, [stricter], dry_run=False)

    assert (done.action, done.previous_level) == ("level set", "BACKWARD")
    assert registry.compatibility(stricter.subject) == "FULL_TRANSITIVE"


def test_the_files_layout_does_not_matter(registry: Registry, settings: Settings) -> None:
    register_contracts(registry, [CONTRACTS[0]], dry_run=False)
    known = registry.lookup_id(CONTRACTS[0].subject, CONTRACTS[0].schema_json)

    with Registry(settings) as another:
        assert another.lookup_id(CONTRACTS[0].subject, json.dumps(CONTRACTS[0].schema, indent=4)) == known


def test_an_unknown_id_can_not_be_decoded(registry: Registry) -> None:
    with pytest.raises(DecodeError, match="knows no schema with id 2147483647"):
        registry.schema_by_id(2_147_483_647)


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `tidemill schemas` against the test's registry."""
    for name in ("registry_url", "namespace", "state_dir", "schemas_dir"):
        monkeypatch.setenv(f"TIDEMILL_{name.upper()}", str(getattr(settings, name)))

    def run(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))

    return run


def test_register_and_check_as_a_person_sees_them(run: Any, settings: Settings, tmp_path: Path) -> None:
    planned = json.loads(run("register", "--dry-run", "--json").stdout)
    assert {"image.requested", "schedule.tick"} <= {row["type"] for row in planned}
    assert {row["action"] for row in planned} == {"would be registered"}
    registered = run("register")
    assert registered.exit_code == 0
    assert f"registry {settings.registry_url}, namespace {settings.namespace}" in registered.stderr
    again = json.loads(run("register", "--json").stdout)
    assert {(row["action"], row["version"]) for row in again} == {("unchanged", 1)}
    assert f"{settings.namespace}image.requested-value" in {row["subject"] for row in again}
    assert {row["registry"] for row in json.loads(run("check", "--json").stdout)} == {"unchanged (version 1)"}

    broken = changed(CONTRACTS[0], name="priority", type="int")
    (tmp_path / "image.requested.avsc").write_text(json.dumps(broken.schema))
    refused = run("check", "--schemas", str(tmp_path))

    assert refused.exit_code == 1
    assert "incompatible (version 1)" in refused.stdout
    assert "image.requested: field 'priority' was added without a default" in refused.stderr
    assert "(against version 1 in the registry)" in refused.stderr
    assert run("register", "--schemas", str(tmp_path)).exit_code == 1


def test_check_tells_when_only_the_registrys_own_level_is_in_the_way(
    run: Any, registry: Registry, tmp_path: Path
) -> None:
    register_contracts(registry, [CONTRACTS[0]], dry_run=False)
    registry.set_compatibility(CONTRACTS[0].subject, "FULL")
    schema = json.loads(CONTRACTS[0].schema_json)
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "renditions"]
    (tmp_path / "image.requested.avsc").write_text(json.dumps(schema))

    refused = run("check", "--schemas", str(tmp_path))

    assert refused.exit_code == 1
    assert "its level for 'image.requested-value' is FULL, the contract's is BACKWARD" in refused.stderr
