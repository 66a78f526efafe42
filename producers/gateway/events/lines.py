"""A body of lines, and an answer of lines that is written while the body is still being read.

A client may send all before it reads anything: reading never waits for writing, or both sides would wait for ever. What
is not read yet by the client stays in memory, a few hundred bytes a line, and lines are limited in number.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from producers.gateway import media_types
from producers.gateway.errors import Problem

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from producers.gateway.body import Body
    from producers.gateway.events.bulk import Bulk, Group

GROUP = 1_000
"""Lines that are sent together."""
GROUPS = 4
"""Groups that wait for the broker at the same time."""


class Lines:
    """The lines of a body, in groups.

    Args:
        pieces: The body.
        held: Where what is read of an unfinished line counts.
        most_bytes: Longest line.
        most_lines: Most lines.
    """

    def __init__(self, pieces: AsyncIterator[bytes], held: Body, most_bytes: int, most_lines: int) -> None:
        self._pieces, self.held = pieces, held
        self._most_bytes, self._most_lines = most_bytes, most_lines
        self.number = 0
        """Of the last line that was given out."""

    async def groups(self) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Number of the first line and the lines that are there, at most 1,000; blank ones aren't counted.

        Raises:
            Problem: A line is too long, there are too many, or what reading the body raises.
        """
        rest: list[bytes] = []
        rest_bytes = 0
        async for piece in self._pieces:
            head, found, tail = piece.rpartition(b"\n")
            if not found:
                self.held.hold(len(piece))
                rest.append(piece)
                rest_bytes += len(piece)
                if rest_bytes > self._most_bytes:
                    raise self._too_long()
                continue
            rest.append(head)
            for group in self._grouped(b"".join(rest)):
                yield group
            self.held.let_go(rest_bytes)
            self.held.hold(len(tail))
            rest, rest_bytes = [tail], len(tail)
        for group in self._grouped(b"".join(rest)):
            yield group

    def _grouped(self, text: bytes) -> list[tuple[int, list[bytes]]]:
        lines = [line for line in text.split(b"\n") if line and not line.isspace()]
        groups = []
        for start in range(0, len(lines), GROUP):
            group = lines[start : start + GROUP]
            first = self.number + 1
            for index, line in enumerate(group):
                if len(line) > self._most_bytes:
                    self.number = first + index - 1
                    raise self._too_long()
            self.number += len(group)
            if self.number > self._most_lines:
                raise Problem("too-large", f"A batch has at most {self._most_lines:,} lines; those after weren't read.")
            groups.append((first, group))
        return groups

    def _too_long(self) -> Problem:
        return Problem(
            "too-large",
            f"Line {self.number + 1:,} has more than {self._most_bytes:,} bytes; it and those after weren't read.",
        )


class LineAnswers(Response):
    """The answer to a body of lines: a line for each, in their order.

    Args:
        lines: The body.
        bulk: Publishes them.
        send_seconds: A reader that takes nothing for so long is cut off.
    """

    media_type = media_types.LINES

    def __init__(self, lines: Lines, bulk: Bulk, send_seconds: float) -> None:
        super().__init__()
        self._send_seconds = send_seconds
        del self.headers["content-length"]
        self._lines, self._bulk = lines, bulk
        self._groups: asyncio.Queue[Group | Problem | None] = asyncio.Queue(GROUPS)
        self._answers: deque[bytes] = deque()
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        is_late = False
        with self._lines.held:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                finishing = tasks.create_task(self._finish())
                while not is_late and (not finishing.done() or self._answers):
                    if not self._answers:
                        self._news.clear()
                        await self._news.wait()
                        continue
                    body = b"".join(self._answers)
                    self._answers.clear()
                    try:
                        async with asyncio.timeout(self._send_seconds):
                            await send({"type": "http.response.body", "body": body, "more_body": True})
                    except TimeoutError:
                        is_late = True
                        reading.cancel()
                        finishing.cancel()
        if is_late:
            raise ClientDisconnect
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self) -> None:
        try:
            async for first, lines in self._lines.groups():
                await self._groups.put(await self._bulk.publish(first, lines))
        except Problem as problem:
            await self._groups.put(problem)
        except ClientDisconnect:
            pass  # Whoever sent it won't read any answer; what was read is published.
        await self._groups.put(None)

    async def _finish(self) -> None:
        try:
            while (group := await self._groups.get()) is not None:
                if isinstance(group, Problem):
                    answer = {"line": self._lines.number + 1, **group.body()}
                    self._answers.append(json.dumps(answer).encode() + b"\n")
                else:
                    self._answers.append(b"\n".join(await self._bulk.finish(group)) + b"\n")
                self._news.set()
        finally:
            self._news.set()
