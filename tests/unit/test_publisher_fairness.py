"""A coroutine that only publishes leaves the event loop to others now and then."""

from __future__ import annotations

import asyncio

from tidemill.events import ImageRequested
from tidemill.publisher.asynchronous import MOST_REPORTS
from tidemill.testing import AsyncMemoryPublisher

EVENT = ImageRequested(source="s3://uploads/1.jpg", renditions=[])


async def test_receipts_are_settled_while_a_coroutine_publishes_without_a_pause() -> None:
    async with AsyncMemoryPublisher() as publisher:
        receipts = [await publisher.publish(EVENT) for _ in range(5 * MOST_REPORTS)]
        waiting = sum(not receipt.done for receipt in receipts)
    assert waiting <= MOST_REPORTS


async def test_other_tasks_run_while_a_coroutine_publishes_without_a_pause() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async with AsyncMemoryPublisher() as publisher:
        for _ in range(5 * MOST_REPORTS):
            await publisher.publish(EVENT)
        turns_meanwhile = turns
    task.cancel()
    assert turns_meanwhile >= 4
