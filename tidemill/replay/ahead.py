"""Runs an iterator in a thread of its own, a few items ahead of whoever takes them.

What is read ahead is bounded. The thread ends with the iteration, however that ends; it must never outlive it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

GLANCE_SECONDS = 0.1
"""How soon the thread sees that nobody takes its items any more."""


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_END = object()


def ahead(source: Generator[T, None, None], *, depth: int, name: str) -> Generator[T, None, None]:
    """The items of a generator, which runs in a thread of its own.

    Args:
        source: It is closed in that thread, whatever happens.
        depth: How many items may wait.
        name: The thread's.

    Raises:
        Exception: Whatever the generator raised, where its next item would have been.
    """
    waiting: queue.Queue[object] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=GLANCE_SECONDS)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in source:
                put(item)
                if stopped.is_set():
                    break
            source.close()
        except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that takes the items
            put(_Failure(error))
        else:
            put(_END)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if item is _END:
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
