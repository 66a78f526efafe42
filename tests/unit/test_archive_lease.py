"""A topic's lease: one has it, a dead one's is taken over, and no clock is compared with another machine's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumers.archive.lease import Lease
from tidemill.replay.lake import INNER
from tidemill.store import Store

TOPIC = "step.asked"
LONG = 60.0
"""Seconds; the thread that renews isn't met in these tests."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.from_urls(tmp_path.as_uri())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(store: Store, clock: Clock) -> Lease:
    return Lease(store, TOPIC, LONG, clock=clock)


def silence(store: Store, number: int) -> None:
    """The mark of one that is dead by now."""
    data = json.dumps({"holder": "far:1", "token": "theirs"}).encode()
    assert store.claim(f"{INNER}/leases/{TOPIC}/{number:012}.json", data)


def test_one_has_it_until_it_is_given_back(store: Store, clock: Clock) -> None:
    one, other = lease(store, clock), lease(store, clock)
    assert one.take() is None
    held = other.take()
    assert held is not None
    assert held.holder
    one.give_back()
    assert other.take() is None
    other.give_back()


def test_one_that_gives_no_sign_while_somebody_watches_is_taken_over(store: Store, clock: Clock) -> None:
    silence(store, 1)
    watching = lease(store, clock)
    assert watching.take() is not None
    clock.now += LONG - 1
    assert watching.take() is not None
    clock.now += 1
    assert watching.take() is None
    watching.give_back()


def test_one_that_gives_a_sign_keeps_it(store: Store, clock: Clock) -> None:
    silence(store, 1)
    watching = lease(store, clock)
    for number in range(2, 5):
        assert watching.take() is not None
        clock.now += LONG - 1
        silence(store, number)
    assert watching.take() is not None


def test_of_two_who_take_it_over_one_has_it(store: Store, clock: Clock) -> None:
    silence(store, 1)
    both = [lease(store, clock), lease(store, clock)]
    assert [each.take() is None for each in both] == [False, False]
    clock.now += LONG
    assert [each.take() is None for each in both] == [True, False]
    both[0].give_back()


def test_an_old_number_that_was_tidied_away_is_no_lease(store: Store, clock: Clock) -> None:
    for number in range(1, 9):
        silence(store, number)
    holder = lease(store, clock)
    holder.take()
    clock.now += LONG
    assert holder.take() is None
    left = sorted(each.uri.rpartition("/")[2] for each in store.list(f"{INNER}/leases/{TOPIC}"))
    assert left == [f"{number:012}.json" for number in (7, 8, 9)]
    # One that slept long may make a mark that is free again; it sees that a later one is there.
    silence(store, 3)
    assert lease(store, clock).take() is not None
    holder.give_back()


def test_one_whose_next_mark_is_taken_knows_that_it_has_lost_it(store: Store) -> None:
    short = Lease(store, TOPIC, 0.02)
    # Its own thread may be about to make the next mark: one of the two does.
    assert short.take() is None
    for number in range(2, 10_000):
        data = json.dumps({"holder": "far:1", "token": "theirs"}).encode()
        if store.claim(f"{INNER}/leases/{TOPIC}/{number:012}.json", data):
            break
    assert short._thread is not None
    short._thread.join(10)
    assert short.lost
    short.give_back()
    newest = max(each.uri for each in store.list(f"{INNER}/leases/{TOPIC}"))
    assert json.loads(store.read(newest, 1000))["holder"] == "far:1", "who has lost it gives nothing back"
