"""The Faust app of a stream: its agent takes batches from a channel and feeds the engine.

Faust gives the agent, its life cycle and its supervision. Its own consumer, acks and commits are not started: they lose
events when a handler raises and stall for half a minute on a rebalance (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import faust

from tidemill.errors import StreamError

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.event import Message
    from tidemill.runtime.partition import Partition
    from tidemill.runtime.stream import Stream

Batches = Sequence[tuple["Partition", Sequence["Message"]]]
"""What one poll has brought, by partition."""


class StreamApp(faust.App):
    """A Faust app without Kafka, web server, tables or folders of its own."""

    def _create_directories(self) -> None:
        # faust-streaming 0.15.3, app/base.py:1972 makes folders for tables; there are none here, and a worker may have
        # no folder it can write to.
        return


class FeedingApp:
    """Starts a stream's Faust app and gives it batches.

    Args:
        stream: The stream.
        settings: For the app's id and addresses (shown only; Faust connects to nothing).
        feed: What the agent does with each batch.
    """

    def __init__(
        self, stream: Stream, settings: Settings, feed: Callable[[Partition, Sequence[Message]], None]
    ) -> None:
        self.app = StreamApp(
            settings.qualified(stream.group),
            broker=[f"kafka://{address}" for address in settings.bootstrap_servers.split(",")],
            store="memory://",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
        )
        self.app.boot_strategy.enable_kafka = False
        self._channel: Any = self.app.channel(maxsize=0)

        async def agent(polled: Any) -> None:
            async for batches, fed in polled:
                for part, messages in batches:
                    feed(part, messages)
                fed()

        self.app.agent(self._channel, name=stream.name)(agent)

    async def start(self) -> None:
        """Start; returns when the agent listens.

        Raises:
            StreamError: The agent didn't start.
        """
        await self.app.start()
        # Queues of an app are closed until its consumer has its first partitions (app/base.py:1562); ours has none.
        self.app.flow_control.resume()
        if not self._channel._subscribers:
            raise StreamError("The Faust agent doesn't listen on its channel after the app's start.")

    def put(self, batches: Batches, fed: Callable[[], None]) -> bool:
        """Give the agent what a poll has brought, without waiting.

        Args:
            batches: Messages by partition.
            fed: Called by the agent when it has fed them all.

        Returns:
            False where no agent listens: then nothing may be polled any more.
        """
        # An agent iterates a clone of its channel (faust-streaming 0.15.3, channels.py:149 and 449): what is put on the
        # channel's own queue is read by nobody.
        for subscriber in self._channel._subscribers:
            subscriber.queue.put_nowait((batches, fed))
            return True
        return False

    async def stop(self) -> None:
        """Stop the app."""
        await self.app.stop()
        # A stream's iterator asks for the app's consumer (streams.py:1244), and so one is made. It is never started,
        # but its thread's event loop is there already (mode/threads.py:112), and nobody else closes it.
        consumer: Any = self.app._consumer
        if consumer is not None:
            consumer._thread.thread_loop.close()
