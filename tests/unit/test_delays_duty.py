"""What a partition's owner does with its log: what is due, what is asked of it, and what must not come alive again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from scheduler.delays.dispatch import Dispatch
from scheduler.delays.duty import DelaysDuty
from scheduler.delays.requests import Wish, read_answer, read_outcome, request_record
from tests.unit.sample_message import SampleMessage
from tidemill import delayed
from tidemill.config import load_settings
from tidemill.destinations import Destinations
from tidemill.errors import BrokerUnreachable, EventTooLarge, NotAuthorized, TidemillError, UnknownTopic
from tidemill.transactions import Refused, Written

NOW = 1_800_000_000.0
TOPICS = {"there", "other"}
Record = tuple[str, bytes | None, bytes | None, dict[str, bytes], int | None]


def against(topics: Collection[str]) -> dict[str, TidemillError]:
    return {topic: UnknownTopic(f"Topic {topic!r} doesn't exist.") for topic in topics if topic not in TOPICS}


class Ink:
    """A writer that keeps what is written, and can place or refuse it."""

    def __init__(self, first_offset: int = 1000) -> None:
        self.records: list[Record] = []
        self.written: list[Written] = []
        self._offset = first_offset

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        partition: int | None = None,
    ) -> Written:
        written = Written()
        written.topic, written.partition, written.offset = topic, partition or 0, self._offset
        self._offset += 1 if self._offset >= 0 else 0
        self.records.append((topic, key, value, dict(headers), partition))
        self.written.append(written)
        return written


class Owner:
    """A duty, and a log that is read to it."""

    def __init__(self, folder: Path, look: Any = None) -> None:
        destinations = Destinations(look or against)
        self.duty = DelaysDuty(load_settings(namespace=""), 2, by="me", folder=folder, destinations=destinations)
        self.end = 0

    def read(self, key: bytes | None, value: bytes | None, headers: Any = (), offset: int | None = None) -> int:
        at = self.end if offset is None else offset
        self.end = max(self.end, at + 1)
        self.duty.take(cast(Any, SampleMessage(at, key, value, [*headers], 2, "schedule.delayed")))
        return at

    def wait(self, event_id: bytes, seconds: float, *, topic: str = "there", offset: int | None = None) -> int:
        due = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)
        return self.read(event_id, b"v-" + event_id, delayed.packed(topic, b"k", [("h", b"1")], due), offset)

    def ask(self, wish: Wish, event_id: str) -> bytes:
        key, value, headers = request_record(wish, event_id, "ann", datetime.now(UTC))
        self.read(key, value, headers)
        return key

    def act(self, seconds: float = 0.0, first_offset: int = 1000) -> list[Record]:
        """Do what is to be done, with success; returns what was written."""
        deed = self.duty.due(NOW + seconds)
        if deed is None:
            return []
        ink = Ink(first_offset)
        deed.write(cast(Any, ink))
        deed.written()
        return ink.records

    def be_refused(self, reasons: dict[bytes, TidemillError], seconds: float = 0.0) -> Dispatch:
        """Do it and have the records of some events refused, by their values."""
        deed = self.duty.due(NOW + seconds)
        assert deed is not None
        ink = Ink()
        deed.write(cast(Any, ink))
        refused = {
            written: reasons[value]
            for written, (_, _, value, _, _) in zip(ink.written, ink.records, strict=True)
            if value in reasons
        }
        deed.refused(Refused(refused))
        return deed


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def sent(records: list[Record]) -> list[bytes | None]:
    return [value for topic, _, value, _, _ in records if topic != "schedule.delayed"]


def test_an_event_goes_to_its_topic_and_is_removed_in_one_transaction(owner: Owner) -> None:
    owner.wait(b"a", 1.0)
    assert owner.act(0.999_999) == []
    event, tombstone = owner.act(1.0)
    assert event == ("there", b"k", b"v-a", {"h": b"1", "tm_due": event[3]["tm_due"]}, None)
    assert tombstone[:3] == ("schedule.delayed", b"a", None)
    assert tombstone[4] == 2
    outcome = read_outcome(dict(tombstone[3]))
    assert outcome is not None
    assert (outcome.kind, outcome.by, outcome.topic) == ("dispatched", "me", "there")
    assert owner.act(9.0) == []


def test_the_next_time_is_when_the_next_event_is_due(owner: Owner) -> None:
    assert owner.duty.next_at() is None
    owner.wait(b"b", 5.5)
    owner.wait(b"a", 2.25)
    assert owner.duty.next_at() == NOW + 2.25
    owner.ask(Wish.CANCEL, "a")
    assert owner.duty.next_at() == 0.0


def test_what_lies_before_our_tombstone_does_not_come_alive_again(owner: Owner) -> None:
    owner.wait(b"x", 0.0, offset=40)
    assert sent(owner.act(first_offset=49)) == [b"v-x"]
    owner.wait(b"x", 0.0, offset=49)
    assert owner.act() == []
    owner.read(b"x", None, offset=50)
    assert owner.act() == []
    owner.wait(b"x", 0.0, offset=51)
    assert sent(owner.act(first_offset=60)) == [b"v-x"]


def test_it_does_not_even_where_the_tombstones_place_is_not_known(owner: Owner) -> None:
    owner.wait(b"x", 0.0, offset=40)
    assert sent(owner.act(first_offset=-1)) == [b"v-x"]
    owner.wait(b"x", 0.0, offset=49)
    assert owner.act() == []
    owner.read(b"x", None, offset=50)
    owner.wait(b"x", 0.0, offset=51)
    assert sent(owner.act()) == [b"v-x"]


def test_a_tombstone_that_compaction_has_taken_away_hides_nothing_that_came_after_it(owner: Owner) -> None:
    owner.wait(b"x", 0.0, offset=40)
    owner.act(first_offset=49)
    owner.wait(b"x", 0.0, offset=51)
    assert sent(owner.act(first_offset=60)) == [b"v-x"]


def test_a_tombstone_of_another_removes_an_event(owner: Owner) -> None:
    owner.wait(b"x", 0.0)
    owner.read(b"x", None)
    assert owner.act() == []


def test_a_cancelled_event_is_removed_with_the_answer_and_never_sent(owner: Owner) -> None:
    owner.wait(b"x", 5.0)
    key = owner.ask(Wish.CANCEL, "x")
    tombstone, answer = owner.act()
    assert (tombstone[1], answer[1]) == (b"x", key)
    outcome = read_outcome(dict(tombstone[3]))
    assert outcome is not None
    assert (outcome.kind, outcome.by) == ("cancelled", "ann")
    assert read_answer(dict(answer[3])) == ("cancelled", "")
    assert owner.act(10.0) == []


def test_requests_for_one_event_are_answered_in_their_order(owner: Owner) -> None:
    owner.wait(b"x", 5.0)
    for wish in (Wish.CANCEL, Wish.CANCEL, Wish.NOW):
        owner.ask(wish, "x")
    records = owner.act()
    answers = [read_answer(dict(headers)) for _, key, _, headers, _ in records if key and key.startswith(b"request")]
    assert answers == [("cancelled", ""), ("absent", ""), ("absent", "")]
    assert sent(records) == []


def test_now_sends_an_event_before_its_time(owner: Owner) -> None:
    owner.wait(b"x", 3600.0)
    owner.ask(Wish.NOW, "x")
    assert sent(owner.act()) == [b"v-x"]
    assert owner.act(9999.0) == []


def test_a_request_that_was_answered_by_the_owner_before_is_left_alone(owner: Owner) -> None:
    owner.wait(b"x", 5.0)
    key = owner.ask(Wish.CANCEL, "x")
    owner.read(b"x", None)
    owner.read(key, None)
    assert owner.act(10.0) == []


def test_events_of_a_missing_topic_wait_and_the_others_go(owner: Owner) -> None:
    owner.wait(b"lost", 0.0, topic="nowhere")
    owner.wait(b"fine", 1.0)
    assert sent(owner.act(1.0)) == [b"v-fine"]
    assert owner.act(20.0) == []
    TOPICS.add("nowhere")
    try:
        assert sent(owner.act(31.5)) == [b"v-lost"]
    finally:
        TOPICS.discard("nowhere")


def test_a_request_to_send_to_a_missing_topic_is_refused_with_the_reason(owner: Owner) -> None:
    owner.wait(b"x", 60.0, topic="nowhere")
    owner.ask(Wish.NOW, "x")
    (answer,) = owner.act()
    found = read_answer(dict(answer[3]))
    assert found is not None
    assert found[0] == "refused"
    assert "'nowhere' doesn't exist" in found[1]


def test_a_topic_that_may_not_be_written_to_is_left_alone_longer_each_time(
    owner: Owner,
) -> None:
    owner.wait(b"no", 0.0, topic="other")
    owner.wait(b"yes", 0.0)
    owner.be_refused({b"v-no": NotAuthorized("no")})
    assert sent(owner.act()) == [b"v-yes"]
    assert owner.act(29.0) == []
    owner.be_refused({b"v-no": NotAuthorized("no")}, 30.0)
    assert owner.act(89.0) == []
    assert sent(owner.act(90.0)) == [b"v-no"]


def test_of_events_refused_together_the_culprit_is_found_and_all_others_go(
    owner: Owner,
) -> None:
    for number in range(64):
        owner.wait(b"%d" % number, 0.0)
    too_large: TidemillError = EventTooLarge("too large")
    went: list[bytes | None] = []
    for _ in range(40):
        deed = owner.duty.due(NOW)
        if deed is None:
            break
        if any(event.id == b"17" for event in deed.sent):
            # The broker refuses a whole batch for one of its records.
            owner.be_refused({event.value: too_large for event in deed.sent})
        else:
            went += sent(owner.act())
    assert len(went) == 63
    assert b"v-17" not in went
    assert owner.act(29.0) == []
    assert sent(owner.act(30.0)) == [b"v-17"]


def test_a_transaction_that_came_to_nothing_forgets_no_suspect(owner: Owner) -> None:
    for number in range(4):
        owner.wait(b"%d" % number, 0.0)
    owner.be_refused({b"v-%d" % number: EventTooLarge("too large") for number in range(4)})
    for _ in range(3):
        assert owner.duty.due(NOW) is not None
    assert [*sent(owner.act()), *sent(owner.act())] == [b"v-0", b"v-1", b"v-2", b"v-3"]


def test_a_refused_now_is_answered_with_the_reason_and_the_event_waits_on(owner: Owner) -> None:
    owner.wait(b"x", 60.0)
    owner.ask(Wish.NOW, "x")
    owner.be_refused({b"v-x": EventTooLarge("too large, alas")})
    (answer,) = owner.act()
    assert read_answer(dict(answer[3])) == ("refused", "too large, alas")
    assert owner.duty.next_at() is not None


def test_records_that_are_no_delayed_events_are_skipped(owner: Owner, capsys: pytest.CaptureFixture[str]) -> None:
    owner.read(None, b"value")
    owner.read(b"foreign", b"value")
    owner.read(b"request\0x", b"not json", [("tm_request", b"cancel")])
    owner.wait(b"x", 0.0)
    assert sent(owner.act()) == [b"v-x"]
    assert capsys.readouterr().out.count("skipped: a record that is no delayed event") == 3


def test_neither_requests_nor_events_keep_the_others_waiting(owner: Owner) -> None:
    for number in range(1200):
        owner.ask(Wish.CANCEL, f"nobody-{number}")
    owner.wait(b"x", 0.0)
    owner.act()
    assert sent(owner.act()) == [b"v-x"]


def test_who_cannot_ask_which_topics_exist_lets_the_brokers_tell(tmp_path: Path) -> None:
    def nobody(_: Collection[str]) -> dict[str, TidemillError]:
        raise BrokerUnreachable("Nobody answers.")

    owner = Owner(tmp_path, nobody)
    owner.wait(b"x", 0.0)
    assert sent(owner.act()) == [b"v-x"]
