"""Logs: readable on a terminal, one JSON object per line elsewhere. Only programs call `configure_logging`."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from tidemill.config import Settings


def configure_logging(settings: Settings) -> None:
    """Send the logs of this process, structlog's and logging's alike, to standard error in one format.

    Args:
        settings: `log_format` and `log_level`.
    """
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S.%f", utc=as_json),
    ]
    last: list[Any]
    if as_json:
        last = [
            structlog.processors.format_exc_info,
            _first_things_first,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28)]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tidemill").setLevel(level)
    # Faust logs the life cycle of its services under the name of our app's module.
    logging.getLogger("tidemill.runtime.app").setLevel(logging.WARNING)


def _first_things_first(_: Any, __: str, event: Any) -> Any:
    """When, how bad and what first: people read JSON lines too."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event}
    return {**first, **event}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger below `tidemill.`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"tidemill.{name}")
    return logger
