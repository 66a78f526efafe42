"""What a letter says is shown without moving anybody's cursor, and read without believing any of it."""

from __future__ import annotations

import pytest

from consumers.deadletters.letter import read_letter
from consumers.deadletters.plain_text import one_line, plain
from tests.unit.sample_message import SampleMessage
from tidemill.runtime import deadletter

HOSTILE = [
    ("\x1b[2J\x1b[1;1Hgone", "gone"),
    ("\x1b]0;title\x07here", "here"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("red \x1b[31mtext\x1b[0m", "red text"),
    ("\x9b31mC1", "31mC1"),
    ("back\x08\x08\x08space", "backspace"),
    ("\u202egpj.exe", "gpj.exe"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("bell\x07 nul\x00", "bell nul"),
    ("\x1b", ""),
    ("é ü 漢字 🎉", "é ü 漢字 🎉"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_would_move_a_cursor_is_taken_out(text: str, shown: str) -> None:
    assert one_line(text, 100) == shown
    assert plain(text) == shown


def test_lines_stay_lines_where_there_may_be_several() -> None:
    assert plain("a\r\nb\tc") == "a\nb c"
    assert one_line("a\r\nb\tc", 10) == "a b c"
    assert one_line("x" * 50, 10) == "xxxxxxx..."


def test_a_letter_without_any_header_is_a_letter() -> None:
    letter = read_letter(SampleMessage(7, None, None, in_topic="ns.foreign.dead"), "ns.")
    assert (letter.topic, letter.stream, letter.error, letter.key) == ("foreign.dead", "", "unknown", "")
    assert letter.died_ms == letter.written_ms > 0
    assert letter.event_id != read_letter(SampleMessage(8, None, None, in_topic="ns.foreign.dead"), "ns.").event_id


@pytest.mark.parametrize("garbage", [b"", b"-1", b"9" * 400, b"\xff\xfe", b"1e5", "\u0663".encode(), None])
def test_numbers_that_are_none_count_as_zero(garbage: bytes | None) -> None:
    headers = [(name, garbage) for name in (deadletter.OFFSET, deadletter.ATTEMPTS, deadletter.TIME)]
    letter = read_letter(SampleMessage(with_headers=headers), "")
    assert (letter.source_offset, letter.attempts, letter.died_ms) == (0, 0, letter.written_ms)


def test_texts_of_any_bytes_fit_into_the_table() -> None:
    garbage = b"\xff\x00\xed\xa0\x80" * 5_000
    names = (deadletter.STREAM, deadletter.HANDLER, deadletter.ERROR, deadletter.MESSAGE, deadletter.TRACE, "ce_id")
    headers = [*((name, garbage) for name in names), (deadletter.TOPIC, garbage), ("ce_type", garbage)]
    letter = read_letter(SampleMessage(with_headers=headers, with_key=garbage), "")
    assert len(letter.stream) <= 200
    assert len(letter.event_id) <= 400
    assert len(letter.source_topic) <= 249
    assert "\x00" not in letter.message + letter.key + letter.event_id


@pytest.mark.parametrize("time", [b"0001-01-01T00:00:00+00:00", b"9999-12-31T23:59:59-14:00", b"2026-11-30T17:00:00"])
def test_times_beyond_all_times_are_the_records_own(time: bytes) -> None:
    letter = read_letter(SampleMessage(with_headers=[(deadletter.TIME, time)]), "")
    assert letter.died_ms == letter.written_ms
