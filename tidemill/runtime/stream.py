"""@stream: the declaration of a stream, checked when it is made. Knows nothing of how it is run."""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from tidemill.contracts.contract import Payload
from tidemill.errors import StreamError
from tidemill.event import Event
from tidemill.runtime.retry import Retry

Executor = Literal["async", "inline", "thread", "process"]
Order = Literal["key", "none"]

OnDeadLetter = Callable[[Event[Any], Exception], Any]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, eq=False)
class Stream:
    """A handler and how it is to be run; made by `@stream`, and callable as the handler itself.

    See `stream` for the fields.
    """

    name: str
    event_type: str
    payload: type[Payload]
    handler: Callable[..., Any]
    outputs: tuple[type[Payload], ...]
    takes_work: bool
    order: Order
    concurrency: int
    executor: Executor
    timeout: float | None
    retry: Retry
    batch: int | None
    room: int
    room_bytes: int
    memory_bytes: int | None
    log_each: bool
    cancellable: bool
    tracked: bool
    on_dead_letter: OnDeadLetter | None
    reference: str = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)

    @property
    def group(self) -> str:
        """Consumer group, without the namespace."""
        return f"tidemill.{self.name}"

    @property
    def topic(self) -> str:
        """Topic it reads, without the namespace."""
        return self.payload.__contract__.topic

    @property
    def goes_around(self) -> bool:
        """Whether its failed events may wait on `schedule.delayed`, and come back on a topic of its own."""
        return self.order == "none" and self.retry.attempts > 1


def stream(
    event: str,
    *,
    name: str | None = None,
    order: Order = "key",
    concurrency: int | None = None,
    executor: Executor | None = None,
    timeout: float | None = 60.0,
    retry: Retry | None = None,
    batch: int | None = None,
    room: int = 2048,
    room_bytes: int = 8 * 1024 * 1024,
    memory_bytes: int | None = None,
    log_each: bool | None = None,
    cancellable: bool = False,
    tracked: bool = False,
    on_dead_letter: OnDeadLetter | None = None,
) -> Callable[[Callable[..., Any]], Stream]:
    """Declare a stream: a function over the events of one type.

    The function takes an `Event[T]` (a `list[Event[T]]` with `batch`) and, if it wants, a `Work`; it returns events,
    one or many, or None. What it returns is published and acknowledged before the event counts as done.

    Args:
        event: Event type, e.g. `image.requested`. The payload class is taken from the function's annotation, which must
            agree with it.
        name: The stream's name, and so its consumer group `tidemill.<name>`; default: the function's name.
        order: `key`: one event of a key at a time, in order, other keys beside it. `none`: any number, in any order.
        concurrency: Events in work at once, per worker process. Default: 64 for `async`, 8 for `thread`,
            the number of processors for `process`.
        executor: Where the handler runs. `async`: on the event loop (the default for `async def`). `thread`: in a pool
            of threads (the default for `def`). `process`: in a pool of processes that can be killed, for work that
            needs a processor. `inline`: a plain function on the event loop itself, for a few microseconds of work:
            the fastest, and with no time limit of its own.
        timeout: Seconds for one try, after which the work is stopped; None for no limit.
        retry: What happens after a failure; default `Retry()`.
        batch: Give the handler up to so many events of one partition at once, in order, instead of single ones.
            A batch that fails is tried again one by one, so that one bad event doesn't take others with it.
        room: Events in hand per partition before fetching from it pauses.
        room_bytes: Bytes in hand per partition before fetching from it pauses.
        memory_bytes: Most memory that one process of `executor="process"` may take (data segment; Linux).
        log_each: Log every finished event at level info instead of debug; default: for `thread` and `process`.
        cancellable: Heed `job.cancel`: events of a cancelled job aren't begun, and what runs is stopped where that is
            possible.
        tracked: Tell on `job.progress` of every event that is finished and for which nothing was returned; by default
            only of those that took their time.
        on_dead_letter: Called with an event that became a dead letter, and why; what it returns is published, as what a
            handler returns: whoever waits for a result can be told that none will come. It runs on the event loop, so
            it only computes. Not called for bytes that can't be decoded.

    Raises:
        StreamError: The declaration makes no sense; says what was found and what would do.
    """

    if callable(event):
        raise StreamError(
            f"@stream needs the type of its events, found the function {event!r} instead.",
            hint="Write @stream('image.requested').",
        )

    def declare(handler: Callable[..., Any]) -> Stream:
        if not inspect.isfunction(handler):
            raise StreamError(f"@stream({event!r}) goes onto a function, found {handler!r}.")
        where = f"{handler.__module__}:{handler.__qualname__}"
        stream_name = name or handler.__name__
        if not _NAME.fullmatch(stream_name):
            raise StreamError(
                f"{where}: {stream_name!r} can't name a stream; expected a-z, 0-9, - and _, at most 64 of them."
            )
        if inspect.isasyncgenfunction(handler):
            raise StreamError(
                f"{where} is an async generator; nobody would run it to its end.",
                hint="Make it `async def` without `yield`, and return a list or call `work.emit(...)`.",
            )
        is_async = inspect.iscoroutinefunction(handler)
        if executor is not None and executor not in get_args(Executor):
            raise StreamError(f"{where}: executor must be one of {', '.join(get_args(Executor))}, found {executor!r}.")
        chosen: Executor = executor or ("async" if is_async else "thread")
        if is_async and chosen != "async":
            raise StreamError(
                f"{where} is `async def` and can't run with executor={chosen!r}.", hint="Use executor='async'."
            )
        if not is_async and chosen == "async":
            raise StreamError(
                f"{where} is a plain function and can't run with executor='async'.",
                hint="Make it `async def`, or use 'thread', 'process' or 'inline'.",
            )
        if order not in ("key", "none"):
            raise StreamError(f"{where}: order must be 'key' or 'none', found {order!r}.")
        for label, value in (
            ("concurrency", concurrency),
            ("batch", batch),
            ("room", room),
            ("room_bytes", room_bytes),
            ("memory_bytes", memory_bytes),
        ):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise StreamError(f"{where}: {label} must be a whole number, at least 1, found {value!r}.")
        # Not `timeout <= 0`, which lets NaN through.
        if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout < math.inf):
            raise StreamError(f"{where}: timeout must be more than 0 seconds, or None, found {timeout!r}.")
        if retry is not None and not isinstance(retry, Retry):
            raise StreamError(f"{where}: retry must be a Retry, found {retry!r}.", hint="E.g. retry=Retry(attempts=5).")
        if on_dead_letter is not None and (not callable(on_dead_letter) or inspect.iscoroutinefunction(on_dead_letter)):
            raise StreamError(
                f"{where}: on_dead_letter must be a plain function of an event and an error, found {on_dead_letter!r}."
            )
        if memory_bytes is not None and chosen != "process":
            raise StreamError(f"{where}: memory_bytes needs executor='process', found {chosen!r}.")
        payload, takes_work = _input(handler, event, where, batched=batch is not None)
        return Stream(
            name=stream_name,
            event_type=event,
            payload=payload,
            handler=handler,
            outputs=_outputs(handler),
            takes_work=takes_work,
            order=order,
            concurrency=concurrency or default_concurrency(chosen),
            executor=chosen,
            timeout=timeout,
            retry=retry or Retry(),
            batch=batch,
            room=room,
            room_bytes=room_bytes,
            memory_bytes=memory_bytes,
            log_each=chosen in ("thread", "process") if log_each is None else log_each,
            cancellable=cancellable,
            tracked=tracked,
            on_dead_letter=on_dead_letter,
            reference=where,
        )

    return declare


def default_concurrency(executor: Executor) -> int:
    """Events in work at once where the declaration doesn't say."""
    if executor == "process":
        import os

        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"async": 64, "inline": 1, "thread": 8}[executor]


def _input(handler: Callable[..., Any], event: str, where: str, *, batched: bool) -> tuple[type[Payload], bool]:
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not 1 <= len(positional) <= 2 or len(positional) != len(parameters):
        raise StreamError(f"{where} must take (event) or (event, work), found {inspect.signature(handler)}.")
    annotation = _hints(handler, where).get(positional[0].name)
    shape = "list[Event[...]]" if batched else "Event[...]"
    if batched and get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    elif batched:
        annotation = None
    payload = get_args(annotation)[0] if get_origin(annotation) is Event else None
    contract = getattr(payload, "__contract__", None)
    if payload is None or contract is None:
        raise StreamError(
            f"{where}: the first parameter must be annotated {shape} with an event class, found {positional[0]}.",
            hint=f"For example `event: Event[...]` with the class of {event!r} from tidemill.events.",
        )
    if contract.type != event:
        raise StreamError(f"{where}: @stream says {event!r}, but its parameter is an event of type {contract.type!r}.")
    return payload, len(positional) == 2


def _hints(handler: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler)
    except Exception as error:  # an annotation is any expression, and raises what it likes
        raise StreamError(
            f"{where}: its annotations can't be resolved: {type(error).__name__}: {error}.",
            hint="Import what they name at module level, not under TYPE_CHECKING.",
        ) from error


def _outputs(handler: Callable[..., Any]) -> tuple[type[Payload], ...]:
    """Event classes that the return annotation names, however wrapped: `X | None`, `list[X]`, `Iterator[X | Y]`."""
    found: list[type[Payload]] = []

    def collect(annotation: Any) -> None:
        if hasattr(annotation, "__contract__"):
            found.append(annotation)
        elif get_origin(annotation) in (typing.Union, types.UnionType) or _is_iterable(get_origin(annotation)):
            for argument in get_args(annotation):
                collect(argument)

    collect(typing.get_type_hints(handler).get("return"))
    return tuple(dict.fromkeys(found))


def _is_iterable(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Iterable)
