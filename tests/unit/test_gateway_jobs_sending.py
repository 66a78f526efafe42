"""How a file of a job is sent: in pieces, while somebody takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from producers.gateway.gateway import Gateway
from producers.gateway.jobs.desk import JobDesk
from producers.gateway.jobs.sending import PIECE_BYTES, SentPart
from producers.gateway.jobs.settings import JobSettings
from producers.gateway.settings import load_gateway_settings
from tidemill.config import load_settings
from tidemill.errors import StoreUnavailable


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[JobDesk]:
    gateway = Gateway(load_settings(state_dir=tmp_path), load_gateway_settings(open=True))
    desk = JobDesk(gateway, JobSettings(send_seconds=0.1))
    yield desk
    await desk.close()
    await gateway.close()


class Reader:
    """Who is sent something."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.takes = 1_000_000
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if len(self.sent) == self.takes:
            await asyncio.Event().wait()
        self.sent.append(message)
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


class Chunks:
    """An object that counts how much of it was read."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self.read += 1
        return chunk


async def test_a_part_is_sent_in_pieces_and_not_a_byte_more(desk: JobDesk) -> None:
    reader, whole = Reader(), bytes(range(256)) * 8_000
    chunks = Chunks(whole[:1_000_000], whole[1_000_000:], b"more")
    await SentPart(chunks, 1_500_001, 206, {"Content-Length": "1500001"}, desk)({}, reader.receive, reader.send)
    assert reader.body == whole[:1_500_001]
    assert max(len(message.get("body", b"")) for message in reader.sent) <= PIECE_BYTES
    assert [message["more_body"] for message in reader.sent[1:]] == [True] * (len(reader.sent) - 2) + [False]
    assert chunks.read == 2


async def test_nothing_more_is_read_for_a_reader_that_has_gone(desk: JobDesk) -> None:
    reader, chunks = Reader(), Chunks(*[bytes(100_000)] * 50)
    reader.gone.set()
    await SentPart(chunks, 5_000_000, 200, {}, desk)({}, reader.receive, reader.send)
    assert chunks.read < 10


async def test_a_reader_that_takes_nothing_is_left(desk: JobDesk) -> None:
    reader, chunks = Reader(), Chunks(*[bytes(100_000)] * 50)
    reader.takes = 5
    await asyncio.wait_for(SentPart(chunks, 5_000_000, 200, {}, desk)({}, reader.receive, reader.send), 5)
    assert len(reader.sent) == 5


async def test_an_object_that_has_become_shorter_is_no_whole_answer(desk: JobDesk) -> None:
    reader = Reader()
    with pytest.raises(StoreUnavailable, match="become shorter"):
        await SentPart(Chunks(b"12345"), 6, 200, {}, desk)({}, reader.receive, reader.send)
    assert reader.sent[-1]["more_body"]
