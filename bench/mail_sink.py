"""A mail server that takes everything and notes when: what e-mail is measured against.

Made to cost as little as possible of the machine that it shares with those who are measured. Each answer goes out a
given time after its command came, as from a relay at a distance; commands that came together are answered together.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from bench.programs import Program

_HELLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
_PLAIN_HELLO = b"250-sink\r\n250-SIZE 50000000\r\n250 8BITMIME\r\n"
_ANSWERS = {b"QUIT": b"221 bye\r\n", b"DATA": b"354 go on\r\n"}


class MailSink:
    """What has come.

    Args:
        latency_seconds: Between a command and its answer.
        pipelining: Whether EHLO offers it.
    """

    def __init__(self, latency_seconds: float, *, pipelining: bool = True) -> None:
        self.latency_seconds = latency_seconds
        self.hello = _HELLO if pipelining else _PLAIN_HELLO
        self.loop = asyncio.new_event_loop()
        self.mails_at: list[float] = []
        self.connections = 0
        self.port = 0

    def rate_per_second(self, warm_up: int, count: int, most_seconds: float, sender: Program) -> float:
        """Mails a second, from one that has come to a later one; waits for it.

        Args:
            warm_up: Mails that aren't counted, at the beginning.
            count: Mails in all.
            most_seconds: How long it may take.
            sender: Whose they are.

        Raises:
            RuntimeError: Fewer came, or the sender ended; with what it said last.
        """
        deadline = time.monotonic() + most_seconds
        while len(self.mails_at) < count:
            sender.require_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{len(self.mails_at)} of {count} mails came within {most_seconds:g} s. "
                    f"The sender said:\n{sender.output()[-2000:]}"
                )
            time.sleep(0.01)
        return (count - warm_up) / (self.mails_at[count - 1] - self.mails_at[warm_up - 1])


class _Session(asyncio.Protocol):
    def __init__(self, sink: MailSink) -> None:
        self._sink = sink
        self._rest = b""
        self._in_data = False
        sink.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answer(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        rest, said = self._rest + data, b""
        while True:
            if self._in_data:
                end = rest.find(b"\r\n.\r\n")
                if end < 0:
                    break
                rest, self._in_data = rest[end + 5 :], False
                self._sink.mails_at.append(time.perf_counter())
                said += b"250 taken\r\n"
                continue
            line, found, after = rest.partition(b"\r\n")
            if not found:
                break
            rest = after
            verb = line[:4].upper()
            said += self._sink.hello if verb == b"EHLO" else _ANSWERS.get(verb, b"250 fine\r\n")
            self._in_data = verb == b"DATA"
            if verb == b"QUIT":
                self._sink.loop.call_later(self._sink.latency_seconds, self._transport.close)
        self._rest = rest
        if said:
            self._answer(said)

    def _answer(self, said: bytes) -> None:
        if self._sink.latency_seconds:
            self._sink.loop.call_later(self._sink.latency_seconds, self._transport.write, said)
        else:
            self._transport.write(said)


@contextmanager
def mail_sink(latency_seconds: float, *, pipelining: bool = True) -> Iterator[MailSink]:
    """A sink on a free port of 127.0.0.1, in a thread, for the time of the block.

    Args:
        latency_seconds: Between a command and its answer.
        pipelining: Whether EHLO offers it.
    """
    sink = MailSink(latency_seconds, pipelining=pipelining)
    server = sink.loop.run_until_complete(sink.loop.create_server(lambda: _Session(sink), "127.0.0.1", 0))
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=sink.loop.run_forever)
    thread.start()
    try:
        yield sink
    finally:
        sink.loop.call_soon_threadsafe(server.close)
        sink.loop.call_soon_threadsafe(sink.loop.stop)
        thread.join(10)
        sink.loop.close()
