"""The OpenAPI 3.1 document of a gateway, put together from what each module says of its routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

VERSION = "3.1.0"


def document(fragments: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document.

    Args:
        fragments: Each with `paths` and perhaps `components`; none may say what another one has said.

    Raises:
        ValueError: Two of them do.
    """
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    for fragment in fragments:
        _add(paths, fragment.get("paths", {}))
        for kind, named in fragment.get("components", {}).items():
            _add(components.setdefault(kind, {}), named)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Made with `tidemill tokens create`."}
    }
    return {
        "openapi": VERSION,
        "info": {
            "title": "Tidemill gateway",
            "version": version("tidemill"),
            "description": "Publishes events to Kafka, and tells what became of them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": components,
    }


def _add(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if known.setdefault(name, value) != value:
            raise ValueError(f"{name} is described twice, and differently")
