"""What an executor says when a handler could not be run or not be stopped, and no event is to blame for it."""

from __future__ import annotations

from tidemill.errors import HandlerTimeout, StreamError


class StuckHandler(HandlerTimeout):
    """A handler ran past its time limit and could not be stopped; its thread or task lives on."""

    retriable = False


class ExecutorFault(StreamError):
    """A place where handlers run can't be made: the event waits, and the worker ends with this reason."""
