"""Event classes made from schemas within a test, as `tidemill schemas generate` makes them."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

from tidemill.contracts.folder import read_contracts, read_folder
from tidemill.contracts.generate import render_module

EVERY_TYPE = Path(__file__).parent / "unit" / "contracts_every_type"


def every_type(folder: Path) -> ModuleType:
    """The module of the contract that has a field of every type."""
    return _load(render_module(read_folder(EVERY_TYPE)), folder)


def event_class(folder: Path, fields: list[dict[str, Any]], *, key: str | None = None, name: str = "ThingSeen") -> Any:
    """One event class.

    Args:
        folder: Where the module may be written.
        fields: The fields of its Avro schema.
        key: The field that is the key.
        name: The record's name, e.g. `ThingSeen` for the event type `thing.seen`.
    """
    import json

    schema: dict[str, Any] = {"type": "record", "name": name, "namespace": "tests.events", "fields": fields}
    schema["tidemill"] = {"key": key, "partitions": 3, "retention": "1h"}
    contracts = read_contracts({"thing.seen.avsc": json.dumps(schema).encode()}, subject="this test")
    return getattr(_load(render_module(contracts), folder), name)


def _load(source: str, folder: Path) -> ModuleType:
    return load_module(source, folder, f"generated_{uuid.uuid4().hex}")


def load_module(source: str, folder: Path, name: str) -> ModuleType:
    """Import the text of a generated module."""
    path = folder / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
