"""Replies of mail servers, cut anywhere, in several lines, or garbled."""

from __future__ import annotations

import pytest

from streams.email.replies import Handover, Refusal, Reply, ReplyReader, as_json, from_json
from tidemill.errors import HandlerError

WIRE = b"220 ready\r\n250-first\r\n250-second\r\n250 last\r\n354\r\n550 5.1.1 no \xff such\x1b[31m\r\n"
REPLIES = [
    Reply(220, "ready"),
    Reply(250, "first second last"),
    Reply(354, ""),
    Reply(550, "5.1.1 no \ufffd such?[31m"),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_replies_are_the_same_however_the_network_cuts_them(step: int) -> None:
    reader = ReplyReader()
    found = [reply for at in range(0, len(WIRE), step) for reply in reader.feed(WIRE[at : at + step])]
    assert found == REPLIES


@pytest.mark.parametrize(
    "line", [b"hello\r\n", b"25 x\r\n", b"250x\r\n", b"\r\n", b"199 x\r\n", b"600 x\r\n", b"\xff\xfe\r\n"]
)
def test_a_line_without_a_code_is_no_reply(line: bytes) -> None:
    with pytest.raises(HandlerError, match="no SMTP") as caught:
        ReplyReader().feed(line)
    assert caught.value.retriable


@pytest.mark.parametrize("chunk", [b"250-more and more\r\n", b"x" * 1000])
def test_a_reply_without_an_end_doesnt_fill_the_memory(chunk: bytes) -> None:
    reader = ReplyReader()
    reader.feed(b"250-")

    def feed_for_ever() -> None:
        for _ in range(10_000):
            reader.feed(chunk)

    with pytest.raises(HandlerError, match="more than 65,536 bytes"):
        feed_for_ever()


def test_a_handover_survives_being_written_down() -> None:
    handover = Handover("mx:25", ("a@x.example",), (Refusal("b@x.example", 451, "later"),), "250 ok")
    assert from_json(as_json(handover)) == handover
