"""Whether what the gateway needs is installed: a command that lacks it says so in words."""

from __future__ import annotations

from importlib.util import find_spec

from tidemill.errors import ConfigError

NEEDED = ("starlette", "uvicorn", "httptools", "uvloop", "orjson", "prometheus_client", "sqlalchemy")


def require_extra() -> None:
    """Do nothing if everything is there.

    Raises:
        ConfigError: Something isn't; says what, and how to install it.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The gateway needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            hint="pip install 'tidemill[gateway]'",
        )
