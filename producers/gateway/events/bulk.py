"""Many events of one request: each is checked and published by itself, and answered in its place.

A group of them is sent without waiting between, and waited for as one. What one event meets, the others don't.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from producers.gateway.answers import job_path
from producers.gateway.errors import Problem, problem_of
from producers.gateway.events.incoming import outgoing
from producers.gateway.events.sending import EVENT_BYTES, LATE_SECONDS
from tidemill.errors import NotDelivered, TidemillError

if TYPE_CHECKING:
    from producers.gateway.events.decoding import Read
    from producers.gateway.events.quick_lines import QuickLines
    from producers.gateway.gateway import Gateway
    from producers.gateway.tokens.token import Token
    from tidemill.publisher import AsyncReceipt

TURN_EVENTS = 200
"""After so many the loop takes its turn, so that a batch doesn't hold up other requests."""


class Group:
    """Events that are published together, and their answers.

    Args:
        first: Number of the first one, from 1.
        size: How many there are.
    """

    def __init__(self, first: int, size: int) -> None:
        self._first = first
        self._answers: list[bytes | None] = [None] * size
        self._left = size
        self._done = asyncio.Event()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How many events of each type were accepted, or not acknowledged."""
        if not size:
            self._done.set()

    def refuse(self, index: int, problem: Problem) -> None:
        """Answer an event with a problem."""
        self._set(index, json.dumps({"line": self._first + index, **problem.body()}, ensure_ascii=False).encode())

    @property
    def accepted(self) -> int:
        """How many events Kafka has."""
        return sum(count for (_, outcome), count in self.outcomes.items() if outcome == "accepted")

    def settle(self, index: int, event_type: str, receipt: AsyncReceipt) -> None:
        """Answer an event as the broker did."""
        error = receipt.error
        if error is not None:
            self.outcomes[event_type, "unacknowledged"] += 1
            self.refuse(index, _of_event(problem_of(error), receipt.id))
            return
        delivered = receipt.delivered
        assert delivered is not None
        self.outcomes[event_type, "accepted"] += 1
        id_ = receipt.id
        shown = f'"{id_}"' if id_.isascii() and '"' not in id_ and "\\" not in id_ else json.dumps(id_)
        self._set(
            index,
            f'{{"line":{self._first + index},"status":202,"id":{shown},"topic":"{delivered.topic}",'
            f'"partition":{delivered.partition},"offset":{delivered.offset},"job":"{job_path(id_)}"}}'.encode(),
        )

    def _set(self, index: int, answer: bytes) -> None:
        if self._answers[index] is None:
            self._answers[index] = answer
            self._left -= 1
            if not self._left:
                self._done.set()

    async def answers(self, seconds: float) -> list[bytes]:
        """The answers in order, once all are there.

        Args:
            seconds: Longest wait for the broker; what isn't answered then may be published or not.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            late = problem_of(NotDelivered("no acknowledgement in time"))
            for index, answer in enumerate(self._answers):
                if answer is None:
                    self.refuse(index, late)
        return [answer for answer in self._answers if answer is not None]


class Bulk:
    """Publishes the groups of one request.

    Args:
        gateway: The gateway.
        token: Whose rate they count for.
        read: Makes an event of what stands in the batch.
        quick: Makes messages of those that are plain, where all are of one type.
    """

    def __init__(self, gateway: Gateway, token: Token, read: Read, quick: QuickLines | None = None) -> None:
        self._gateway, self._token, self._read, self._quick = gateway, token, read, quick
        self._seconds = gateway.gateway_settings.acknowledge_seconds

    async def publish(self, first: int, found: Sequence[Any]) -> Group:
        """Check and send a group; wait for its answers with `finish`.

        Args:
            first: Number of the first event, from 1.
            found: What stands in the batch: a line's bytes, or an element.
        """
        gateway, read, quick = self._gateway, self._read, self._quick
        event_type = "" if quick is None else quick.event_type
        group = Group(first, len(found))
        for index, each in enumerate(found):
            if index % TURN_EVENTS == TURN_EVENTS - 1:
                await asyncio.sleep(0)
            try:
                if gateway.stopping.is_set():
                    raise Problem("stopping", "The gateway is stopping; the event wasn't taken.", retry_after_seconds=1)
                number = first + index
                message = quick.message(number, each) if quick is not None else None
                if message is None:
                    event = read(number, each)
                    event_type = type(event.payload).__contract__.type
                    await gateway.publisher.ready_for(type(event.payload))
                    message = outgoing(gateway.preparer, event)
                    if quick is not None:
                        quick.learn(message)
                size_bytes = len(message.value) + EVENT_BYTES
                await gateway.waiting.take_in_time(size_bytes, self._seconds)
            except Problem as problem:
                group.refuse(index, problem)
                continue
            except TidemillError as error:
                group.refuse(index, problem_of(error))
                continue
            try:
                settled = partial(self._settled, group, index, event_type, size_bytes)
                await gateway.publisher.send(message, settled)
            except TidemillError as error:
                gateway.waiting.give(size_bytes)
                group.refuse(index, problem_of(error))
            except BaseException:
                gateway.waiting.give(size_bytes)
                raise
        return group

    async def finish(self, group: Group) -> list[bytes]:
        """The answers of a group, once the broker has given its own; counts them for the token's rate."""
        answers = await group.answers(self._seconds + LATE_SECONDS)
        for (event_type, outcome), count in group.outcomes.items():
            self._gateway.metrics.events(event_type, outcome, count)
        tokens = self._gateway.tokens
        tokens.count(self._token, group.accepted)
        # A batch that goes beyond the rate is slowed down, not broken off.
        await asyncio.sleep(min(tokens.wait_seconds(self._token), self._seconds))
        return answers

    def _settled(self, group: Group, index: int, event_type: str, size_bytes: int, receipt: AsyncReceipt) -> None:
        self._gateway.waiting.give(size_bytes)
        group.settle(index, event_type, receipt)


def _of_event(problem: Problem, event_id: str) -> Problem:
    problem.members["id"] = event_id
    return problem
