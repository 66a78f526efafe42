"""What a handler raised, made into a failure that has a policy."""

from __future__ import annotations

import asyncio

from tidemill.errors import HandlerCancelled, HandlerError
from tidemill.runtime.error_text import brief


def as_failure(error: BaseException) -> Exception:
    """What a handler raised, as an Exception: the others mean something to asyncio that a handler can't mean."""
    if isinstance(error, Exception):
        return error
    if isinstance(error, asyncio.CancelledError):
        failure: HandlerError = HandlerCancelled("The handler raised CancelledError, though nobody had cancelled it.")
    elif isinstance(error, SystemExit):
        failure = HandlerError(f"The handler called sys.exit({error.code!r}).", retriable=True)
    else:
        failure = HandlerError(f"The handler raised {brief(error)}, which is no Exception.", retriable=True)
    failure.__cause__ = error
    return failure
