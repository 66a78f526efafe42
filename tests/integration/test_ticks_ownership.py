"""Owners of a partition, one after the other: who was taken over from writes nothing any more, and lets go quietly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from scheduler.log import read_log
from scheduler.topics import JOBS
from tests.integration.working import settle
from tidemill import topics
from tidemill.config import Settings
from tidemill.errors import UnknownTopic
from tidemill.transactions import Fenced, Refused, Transactions, Writer

ID = "tests.schedule.jobs-0"


@pytest.fixture
def books(settings: Settings) -> Settings:
    topics.apply(settings, [], house=[JOBS])
    return settings


@contextmanager
def owner(settings: Settings) -> Iterator[Transactions]:
    """Somebody who has taken the partition over."""
    made = Transactions(settings, ID, threading.Event())
    try:
        made.take_over()
        yield made
    finally:
        made.close()


def record(settings: Settings, key: bytes, then: Callable[[], None] = lambda: None) -> Callable[[Writer], None]:
    """Writes a record, and then does something else while its transaction is open."""

    def write(writer: Writer) -> None:
        writer.produce(settings.qualified(JOBS.name), key, b"{}", partition=0)
        writer.flush()
        then()

    return write


def keys(settings: Settings) -> list[bytes | None]:
    """What readers of committed events see."""
    settle(settings, JOBS.name)
    return [message.key() for message in read_log(settings, JOBS.name, [0])]


def test_an_owner_that_was_taken_over_from_can_write_nothing_any_more(books: Settings) -> None:
    with owner(books) as first:
        first.run(record(books, b"job/first"))
        with owner(books) as second:
            for _ in range(2):
                with pytest.raises(Fenced):
                    first.run(record(books, b"job/late"))
            second.run(record(books, b"job/second"))
    assert keys(books) == [b"job/first", b"job/second"]


def test_what_an_owner_had_not_committed_when_it_was_taken_over_from_is_never_read(books: Settings) -> None:
    with owner(books) as first:
        seconds: list[Transactions] = []

        def taken_over() -> None:
            second = Transactions(books, ID, threading.Event())
            second.take_over()
            seconds.append(second)

        with pytest.raises(Fenced):
            first.run(record(books, b"job/half-done", taken_over))
        (second,) = seconds
        second.run(record(books, b"job/second"))
        second.close()
    assert keys(books) == [b"job/second"]


def test_nothing_is_read_of_a_transaction_whose_work_raises_and_the_next_one_goes_well(books: Settings) -> None:
    def fails() -> None:
        raise ZeroDivisionError("in the middle of it")

    with owner(books) as only:
        with pytest.raises(ZeroDivisionError):
            only.run(record(books, b"job/half-done", fails))
        only.run(record(books, b"job/whole"))
    assert keys(books) == [b"job/whole"]


def test_a_record_that_no_broker_takes_is_named_and_nothing_beside_it_is_read(books: Settings) -> None:
    def write(writer: Writer) -> None:
        writer.produce(books.qualified(JOBS.name), b"job/beside", b"{}", partition=0)
        writer.produce(books.qualified("no.such.topic"), b"key", b"value")
        writer.flush()

    with owner(books) as only:
        with pytest.raises(Refused, match=r"no\.such\.topic") as refused:
            only.run(write)
        only.run(record(books, b"job/whole"))
    (error,) = refused.value.records.values()
    assert isinstance(error, UnknownTopic)
    assert keys(books) == [b"job/whole"]
