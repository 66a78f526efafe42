"""Packages of the extra `replay`, imported when they are first used; a missing one is a clear error."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tidemill.errors import ConfigError


def need(module: str, use: str) -> Any:
    """A module of an optional package.

    Args:
        module: Its name, e.g. `pyarrow.parquet`.
        use: What it is needed for, for the message: "reading topics as tables".

    Raises:
        ConfigError: It isn't installed; names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        extra = "tidemill[replay]" if package in ("pyarrow", "pyruhvro", "duckdb") else package
        raise ConfigError(
            f"{package} is needed for {use}, and can't be imported: {error}.", hint=f"Run `pip install '{extra}'`."
        ) from error


def available(module: str) -> Any | None:
    """A module that makes things faster, or None where it isn't installed."""
    try:
        return import_module(module)
    except ImportError:
        return None
