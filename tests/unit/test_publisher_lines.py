"""A file of events: good lines are published whatever the bad ones hold, and each failure has its line and reason."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest

from tidemill.cli.publish_lines import MOST_WAITING, SHOWN_FAILURES, Tally, publish_lines, read_lines
from tidemill.errors import (
    BrokerUnreachable,
    ContractError,
    InvalidEvent,
    NotDelivered,
    SchemaNotRegistered,
    TidemillError,
    UnknownTopic,
)


class Receipt:
    """A receipt that is settled when it is asked for."""

    waiting = 0
    most_waiting = 0

    def __init__(self, error: TidemillError | None = None) -> None:
        self.error = error
        self.done = False
        Receipt.waiting += 1
        Receipt.most_waiting = max(Receipt.most_waiting, Receipt.waiting)

    def result(self, timeout: float | None = None) -> object:
        Receipt.waiting -= 1
        if self.error is not None:
            raise self.error
        return None


def sent(lines: Iterable[str], send: Callable[[bytes], Receipt | None], *, strict: bool = False) -> Tally:
    tally = Tally()
    stream = io.BytesIO("\n".join(lines).encode())
    publish_lines(stream, send, tally, strict=strict, most_bytes=1000, progress=lambda _: None)
    return tally


def picky(line: bytes) -> Receipt:
    """Takes every line but those that begin with `bad`."""
    if line.startswith(b"bad"):
        raise InvalidEvent("a.b", "x[3].y", line, "good")
    return Receipt()


def test_bad_lines_do_not_stop_the_good_ones() -> None:
    tally = sent(["good", "bad 1", "good", "", "   ", "bad 2", "good"], picky)
    assert (tally.acknowledged, tally.failed, tally.finished) == (3, 2, True)
    assert [failure.line for failure in tally.first] == [2, 6]
    assert "found b'bad 1'" in tally.first[0].error


def test_equal_faults_count_as_one_reason_whatever_their_values() -> None:
    tally = sent([f"bad {number}" for number in range(30)], picky)
    assert tally.reasons == {"field 'x[].y' must be good": 30}
    assert len(tally.first) == SHOWN_FAILURES


def test_strict_stops_at_the_first_bad_line_and_waits_for_those_before() -> None:
    tally = sent(["good", "good", "bad", "good"], picky, strict=True)
    assert (tally.acknowledged, tally.failed, tally.stopped, tally.line) == (2, 1, True, 3)


def test_an_event_that_is_not_acknowledged_fails_with_its_line() -> None:
    answers = iter([Receipt(), Receipt(NotDelivered("Too late.")), Receipt()])
    tally = sent(["a", "b", "c"], lambda _: next(answers))
    assert (tally.acknowledged, tally.failed) == (2, 1)
    assert tally.first[0].line == 2
    assert tally.reasons == {"Too late.": 1}


@pytest.mark.parametrize("error", [UnknownTopic("x"), BrokerUnreachable("x"), SchemaNotRegistered("x")])
def test_what_every_line_would_meet_ends_it(error: TidemillError) -> None:
    def refuse(line: bytes) -> Receipt:
        raise error

    with pytest.raises(type(error)):
        sent(["a", "b"], refuse)
    with pytest.raises(type(error)):
        sent(["a", "b"], lambda _: Receipt(error))


def test_what_was_acknowledged_before_it_broke_off_is_counted() -> None:
    answers = iter([Receipt(), Receipt(UnknownTopic("gone"))])
    tally = Tally()
    with pytest.raises(UnknownTopic):
        publish_lines(
            io.BytesIO(b"a\nb\n"),
            lambda _: next(answers),
            tally,
            strict=False,
            most_bytes=9,
            progress=lambda _: None,
        )
    assert (tally.acknowledged, tally.finished) == (1, False)


def test_no_more_receipts_are_kept_than_a_bound() -> None:
    Receipt.waiting = Receipt.most_waiting = 0
    tally = sent(("x" for _ in range(3 * MOST_WAITING)), lambda _: Receipt())
    assert tally.acknowledged == 3 * MOST_WAITING
    assert Receipt.most_waiting <= MOST_WAITING + 1


def test_a_line_that_is_too_long_is_skipped_and_counted() -> None:
    tally = sent(["a", "x" * 5000, "b", "y" * 999], lambda line: Receipt())
    assert (tally.acknowledged, tally.failed) == (3, 1)
    assert tally.first[0].line == 2
    assert "5,001 bytes; at most 1,000 are read" in tally.first[0].error


def test_a_line_is_given_without_its_end() -> None:
    seen: list[bytes] = []
    sent(["a\r", "b"], lambda line: seen.append(line))
    assert seen == [b"a", b"b"]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [(1, b"a", 1)]),
        (b"a\nb\n", [(1, b"a\n", 2), (2, b"b\n", 2)]),
        (b"abcd\nx\n", [(1, None, 5), (2, b"x\n", 2)]),
        (b"abc\nx", [(1, b"abc\n", 4), (2, b"x", 1)]),
        (b"a" * 50, [(1, None, 50)]),
    ],
)
def test_lines_come_with_numbers_and_sizes(data: bytes, lines: list[tuple[int, bytes | None, int]]) -> None:
    assert list(read_lines(io.BytesIO(data), most_bytes=4)) == lines


def test_a_contract_error_is_counted_without_its_place() -> None:
    def refuse(line: bytes) -> Receipt:
        raise ContractError(f"It is not JSON: expecting value at column {len(line)}.")

    assert sent(["a", "ab"], refuse).reasons == {"It is not JSON: expecting value": 2}
