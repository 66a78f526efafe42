"""What goes now and what later: each notice once, whatever runs twice, and nothing lost between two streams."""

from __future__ import annotations

import sqlite3
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from streams.notification.database import Database, DirectoryUnavailable
from streams.notification.directory import Directory, Recipient
from streams.notification.waiting import Accepted, Books, Leaving, Waiting
from tests.unit.notification_samples import NOON, books, core, notice, settings
from tidemill.errors import LedgerUnavailable, Reject

NIGHT = NOON.replace(hour=23)
MORNING = NOON + timedelta(hours=19)


def ids(found: Leaving | Waiting | None) -> list[str]:
    assert isinstance(found, Leaving)
    return [each.id for each in found.notices]


def later(found: Accepted) -> Waiting:
    assert found.later is not None
    return found.later


def test_a_notice_that_goes_now_is_the_same_in_every_run(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    first = found.accept(notice(), NOON)
    assert first.now is not None
    assert ids(first.now) == ["n-1"]
    assert found.accept(notice(), NOON + timedelta(days=30)) == first


def test_what_waits_for_the_morning_goes_as_one_in_its_order(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    directory.put(Recipient("u-1", quiet="22:00-07:00"))
    answers = [found.accept(notice(f"n-{number}"), NIGHT + timedelta(minutes=number)) for number in range(3)]
    assert [later(answer).until for answer in answers] == [MORNING] * 3
    assert [later(answer).wakes for answer in answers] == [True, False, False]
    assert ids(found.close("n-0", "u-1", "due-1", MORNING)) == ["n-0", "n-1", "n-2"]


def test_closing_is_one_events_alone_and_the_same_in_every_run(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    found.accept(notice("a", digest="comments"), NOON)
    first = found.close("a", "u-1", "due-1", NOON + timedelta(minutes=15))
    found.accept(notice("b", digest="comments"), NOON + timedelta(minutes=15))
    assert found.close("a", "u-1", "due-1", NOON + timedelta(days=1)) == first
    assert found.close("a", "u-1", "due-2", NOON + timedelta(days=1)) is None
    assert ids(first) == ["a"]
    assert ids(found.close("b", "u-1", "due-3", NOON + timedelta(minutes=30))) == ["b"]


def test_notices_and_the_end_of_their_digest_may_meet_and_none_is_lost_or_doubled(tmp_path: Path) -> None:
    books(tmp_path)
    told: list[str] = []
    began: list[str] = []

    def ask(name: str) -> None:
        mine = Books(Database(settings(), core(tmp_path)), settings())
        for number in range(40):
            waiting = later(mine.accept(notice(f"{name}-{number}", digest="d"), NOON))
            if waiting.wakes:
                began.append(waiting.delivery)

    def let_go() -> None:
        mine = Books(Database(settings(), core(tmp_path)), settings())
        done = 0
        while asking.is_set() or done < len(began):
            if done < len(began):
                told.extend(ids(mine.close(began[done], "u-1", f"due-{done}", NOON)))
                done += 1

    asking = threading.Event()
    asking.set()
    askers = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    closer = threading.Thread(target=let_go)
    for thread in (*askers, closer):
        thread.start()
    for thread in askers:
        thread.join()
    asking.clear()
    closer.join()
    assert sorted(told) == sorted(f"{name}-{number}" for name in "abc" for number in range(40))


def test_an_overdue_digest_is_woken_by_whoever_joins_it(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    assert later(found.accept(notice("a", digest="d"), NOON)).wakes
    assert not later(found.accept(notice("b", digest="d"), NOON + timedelta(minutes=19))).wakes
    assert later(found.accept(notice("c", digest="d"), NOON + timedelta(minutes=21))).wakes


def test_a_digest_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    _, found = books(tmp_path, max_gathered=2)
    deliveries = [later(found.accept(notice(f"n-{number}", digest="d"), NOON)).delivery for number in range(5)]
    assert deliveries == ["n-0", "n-0", "n-2", "n-2", "n-4"]


def test_digests_of_other_names_and_recipients_are_others(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    directory.put(Recipient("u-2"))
    for each in (notice("a", digest="d"), notice("b", digest="e"), notice("c", digest="d", recipient="u-2")):
        assert later(found.accept(each, NOON)).delivery == each.id


def test_a_newer_notice_replaces_one_that_waits_and_says_so_in_every_run(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    for id in ("a", "b"):
        found.accept(notice(id, digest="d", collapse_key=f"order-{id}"), NOON)
    newer = notice("c", digest="d", collapse_key="order-a")
    assert [found.accept(newer, NOON).replaced for _ in range(2)] == [["a"], ["a"]]
    assert ids(found.close("a", "u-1", "due-1", NOON)) == ["b", "c"]
    # What has gone can't be replaced any more.
    assert found.accept(notice("d", collapse_key="order-a"), NOON).replaced == []


def test_an_urgent_notice_replaces_what_waits_and_goes_at_once(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    found.accept(notice("a", digest="d", collapse_key="alarm"), NOON)
    urgent = found.accept(notice("b", urgency="high", collapse_key="alarm"), NOON)
    assert (ids(urgent.now), urgent.replaced) == (["b"], ["a"])
    assert ids(found.close("a", "u-1", "due-1", NOON)) == []


def test_what_has_expired_is_left_out_and_told(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    soon = NOON + timedelta(minutes=5)
    late = found.accept(notice("late", expires=NOON), NOON)
    assert late.now is not None
    assert (ids(late.now), late.now.expired) == ([], ["late"])
    for id, expires in (("a", soon), ("b", None)):
        found.accept(notice(id, digest="d", expires=expires), NOON)
    leaving = found.close("a", "u-1", "due-1", NOON + timedelta(minutes=15))
    assert isinstance(leaving, Leaving)
    assert (ids(leaving), leaving.expired) == (["b"], ["a"])


def accept_each_minute(found: Books, count: int, start: datetime) -> list[Accepted]:
    return [found.accept(notice(f"m-{n}"), start + timedelta(minutes=n)) for n in range(count)]


def test_over_the_rate_notices_wait_and_go_as_one_and_those_behind_them_wait_too(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    directory.put(Recipient("u-1", rate_per_hour=3))
    answers = accept_each_minute(found, 6, NOON)
    assert [answer.now is not None for answer in answers] == [True] * 3 + [False] * 3
    assert {later(answer).until for answer in answers[3:]} == {NOON + timedelta(hours=1)}
    # The hour has room again, but what waits comes first.
    behind = found.accept(notice("behind"), NOON + timedelta(minutes=61))
    assert later(behind).delivery == "m-3"
    assert ids(found.close("m-3", "u-1", "due-1", NOON + timedelta(minutes=61))) == ["m-3", "m-4", "m-5", "behind"]
    found.finish("m-3", {"channel": "webhook"})
    # Four notices that went as one count as one.
    more = [found.accept(notice(f"x-{n}"), NOON + timedelta(minutes=63)).now is not None for n in range(3)]
    assert more == [True, True, False]


def test_a_notice_doesnt_pass_what_was_held_and_is_on_its_way(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    directory.put(Recipient("u-1", quiet="22:00-07:00"))
    found.accept(notice("held"), NIGHT)
    assert ids(found.close("held", "u-1", "due-1", MORNING)) == ["held"]
    behind = later(found.accept(notice("behind"), MORNING))
    assert (behind.waits_for, behind.until) == ("retry", MORNING + timedelta(seconds=2))
    found.finish("held", {"channel": "webhook"})
    assert ids(found.close("behind", "u-1", "due-2", MORNING + timedelta(seconds=2))) == ["behind"]
    found.finish("behind", {"channel": "webhook"})
    assert found.accept(notice("next"), MORNING + timedelta(seconds=3)).now is not None


def test_what_expired_or_was_replaced_takes_nothing_of_the_rate(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    directory.put(Recipient("u-1", rate_per_hour=1))
    found.accept(notice("late", expires=NOON), NOON)
    assert found.accept(notice("a"), NOON).now is not None
    assert found.accept(notice("b"), NOON).later is not None


def test_what_comes_due_in_quiet_hours_because_the_clock_was_away_is_put_off_again(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    found.accept(notice("a", digest="d"), NOON)
    directory.put(Recipient("u-1", quiet="22:00-07:00"))
    for _ in range(2):
        assert found.close("a", "u-1", "due-1", NIGHT) == Waiting("a", MORNING, "quiet_hours", wakes=True)
    assert ids(found.close("a", "u-1", "due-2", MORNING)) == ["a"]


def test_who_isnt_known_is_refused_with_the_next_step(tmp_path: Path) -> None:
    directory, found = books(tmp_path)
    with pytest.raises(Reject, match=r"no recipient 'u-9'\. Add them by `tidemill notification recipient add`"):
        found.accept(notice(recipient="u-9"), NOON)
    found.accept(notice("a", digest="d"), NOON)
    directory.remove("u-1")
    with pytest.raises(Reject, match="no recipient 'u-1'"):
        found.close("a", "u-1", "due-1", NOON)
    directory.put(Recipient("u-1"))
    with pytest.raises(Reject, match=r"No delivery a is known.*restored"):
        found.close("a", "u-1", "due-1", NOON)


def test_what_was_told_long_ago_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    _, found = books(tmp_path, keep_days=90)
    found.accept(notice("old"), NOON)
    found.accept(notice("waits", digest="d"), NOON)
    found.accept(notice("new"), NOON + timedelta(days=91))
    with sqlite3.connect(tmp_path / "notifications.db") as connection:
        rows = connection.execute("SELECT id FROM tidemill_notification_notices ORDER BY id").fetchall()
    connection.close()
    assert rows == [("new",), ("waits",)]


def test_names_of_any_kind_and_length_can_be_ids_of_events(tmp_path: Path) -> None:
    _, found = books(tmp_path)
    hostile = ["a\0b", "ä" * 500, "ä" * 501, "'; DROP TABLE x; --", "\n\x1b[31m", "💸", "\ud800"]
    for id in hostile:
        assert later(found.accept(notice(id, digest="d"), NOON)).delivery
    delivery = found.waiting(10)[0].id
    assert ids(found.close(delivery, "u-1", "due-1", NOON)) == hostile


def test_a_database_that_doesnt_answer_makes_notices_wait_and_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "notifications.db").mkdir()
    database = Database(settings(), core(tmp_path))
    with pytest.raises(DirectoryUnavailable, match="Until it does, notices wait") as caught:
        Directory(database).put(Recipient("u-1", locale="de"))
    assert isinstance(caught.value, LedgerUnavailable)
    assert "INSERT" not in str(caught.value)


def test_the_database_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    books(tmp_path)
    assert (tmp_path / "notifications.db").stat().st_mode & 0o077 == 0
