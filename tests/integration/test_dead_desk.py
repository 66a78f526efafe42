"""The desk at work on letters of all kinds: each goes back once, in order; hostile ones harm none."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pyarrow.parquet
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from consumers.deadletters import redriving
from consumers.deadletters.acting import owning
from consumers.deadletters.actions import Action, Kind
from consumers.deadletters.checkup import check_deadletters
from consumers.deadletters.index import NEVER_SECONDS, Index, opened
from consumers.deadletters.selection import Selection, groups, places, totals
from consumers.deadletters.settings import load_dead_settings
from consumers.deadletters.state import State
from consumers.deadletters.topics import ACTIONS
from scheduler.log import read_log
from tests.integration.dead_desk import Desk, letters, put_back, raw, ready
from tests.integration.postgres import Postgres
from tests.integration.steps import StepAsked
from tests.integration.working import ASKED, DEAD, encoded, messages, settle, wait_until
from tidemill import broker
from tidemill.config import Settings
from tidemill.errors import DeadLetterError
from tidemill.runtime import deadletter

COUNT = 300
SMALL: dict[str, Any] = {"TIDEMILL_DEAD_BATCH_LETTERS": "25"}


class Killed(BaseException):
    """Where a process would have been killed."""


def test_a_redrive_that_is_killed_and_given_again_puts_each_back_once_and_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = ready(settings)
    assert check_deadletters(settings).ok
    letters(settings, [b"%d" % number for number in range(COUNT)])
    found = check_deadletters(settings)
    assert (found.ok, found.found) == (False, f"{COUNT} records are not in the index yet")
    desk("list")
    assert check_deadletters(settings).found == f"{COUNT} open: one {COUNT}"
    written: list[int] = []
    write = redriving.Redriving._write

    def killed_at_times(self: Any, writer: Any, action: Action, batch: Any) -> Action:
        done = write(self, writer, action, batch)
        written.append(len(batch))
        if len(written) in (3, 4, 8):
            raise Killed  # All of the batch is written, and its transaction isn't committed.
        return done

    monkeypatch.setattr(redriving.Redriving, "_write", killed_at_times)
    for _ in range(3):
        with pytest.raises(Killed):
            desk("redrive", "--where", "true", "--yes", **SMALL)
    told = desk.json("redrive", "--where", "true", "--yes", **SMALL)
    assert 0 < told["redriven"] < COUNT
    back = put_back(settings)
    assert Counter(message.value() for message in back) == Counter(b"%d" % number for number in range(COUNT))
    for key in {message.key() for message in back}:
        numbers = [int(message.value() or b"") for message in back if message.key() == key]
        assert numbers == sorted(numbers)
    assert desk.counts() == {"redriven": COUNT}
    assert sum(run["letters"] for run in desk.json("audit")) == COUNT
    assert check_deadletters(settings).ok


def test_whoever_comes_second_takes_over_and_the_first_does_nothing_more(settings: Settings) -> None:
    desk = ready(settings)
    letters(settings, [b"0"])
    action = Action(Kind.DISCARD, "run", "ada", 1, DEAD)
    with opened(settings, load_dead_settings()) as index, owning(settings, index, DEAD, Flag()) as first:
        with owning(settings, index, DEAD, Flag()) as second:
            second.act(lambda _: action)
        with pytest.raises(DeadLetterError, match="Somebody else"):
            first.act(lambda _: action)
    assert [run["letters"] for run in desk.json("audit")] == [0]
    settle(settings, ACTIONS.name)
    assert len(list(read_log(settings, ACTIONS.name))) == 1


def test_hostile_letters_are_grouped_shown_and_left_or_put_back_as_they_are(settings: Settings, tmp_path: Path) -> None:
    desk = ready(settings)
    large = b"\x00\x00\x00\x00\x63" + b"x" * 999_000
    letters(settings, [b"no avro", large, encoded(settings, StepAsked(lane="a", number=2))])
    garbage = b"\xff\xfe\x1b[2J\x00"
    raw(settings, DEAD, [(garbage, None, [(deadletter.MESSAGE, garbage), (deadletter.OFFSET, b"x"), ("none", None)])])
    foreign = settings.qualified("foreign.dead")
    admin = broker.admin_client(settings)  # kept until the answer is there
    admin.create_topics([NewTopic(foreign, 1, 1)])[foreign].result(10)
    raw(settings, "foreign.dead", [(None, b"foreign", [])])
    assert desk.counts() == {"open": 5}
    listed = desk("list").output
    assert "\x1b[2J" not in listed
    assert "(none named)" in listed
    nameless = next(message for message in messages(settings, DEAD) if message.key() == garbage)
    shown = desk("show", f"{DEAD}/{nameless.partition()}/{nameless.offset()}").output
    assert "\x1b[2J" not in shown
    assert "There is no value (a tombstone)" in shown
    assert "doesn't start with the Confluent wire format" in desk("show", "event-0").output
    assert desk.json("show", "event-2")["payload"] == {"lane": "a", "number": 2, "note": ""}
    desk("show", "nobody", exit_code=5)
    for name in ("all.ndjson", "all.parquet"):
        assert desk.json("export", "--out", str(tmp_path / name))["letters"] == 5
    lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text("utf-8").splitlines()]
    rows = pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert sorted(line["id"] for line in lines) == sorted(row["id"] for row in rows)
    assert large in [row["value"] for row in rows]
    told = desk.json("redrive", "--where", "true", "--yes", exit_code=1, TIDEMILL_MAX_EVENT_BYTES="10000")
    assert (told["redriven"], told["left"]) == (2, 3)
    assert any("foreign" in reason for reason in told["reasons"])
    assert any("is larger than is taken" in reason for reason in told["reasons"])
    told = desk.json("redrive", "--where", "true", "--yes", exit_code=1)
    assert (told["redriven"], told["left"]) == (1, 2)
    assert {message.value() for message in put_back(settings)} >= {b"no avro", large}
    forced = desk("redrive", "--where", "stream = ''", "--to-stream", "one", "--topic", DEAD, "--yes")
    assert "No worker of a stream 'one' has read 'step.asked' yet" in forced.output
    assert None in [message.value() for message in put_back(settings)]
    assert desk.json("discard", "--where", "true", "--why", "not ours", "--yes")["discarded"] == 1
    assert desk.counts() == {"redriven": 4, "discarded": 1}
    desk("redrive", exit_code=2)
    desk("redrive", "--where", "nonsense ==", exit_code=1)
    desk("redrive", "--where", "true", "--rate", "fast", exit_code=2)


def test_what_retention_deletes_or_a_topic_that_is_made_anew_is_not_put_back(settings: Settings) -> None:
    desk = ready(settings)
    letters(settings, [b"%d" % number for number in range(20)])
    assert desk.counts() == {"open": 20}
    with opened(settings, load_dead_settings()) as index, index.database.reading() as connection:
        lying = places(connection, Selection())
    (_, partition), offsets = max(lying.items(), key=lambda each: len(each[1]))
    admin = broker.admin_client(settings)
    end = TopicPartition(settings.qualified(DEAD), partition, offsets[-1])
    next(iter(admin.delete_records([end]).values())).result(10)
    assert desk.counts() == {"open": 20 - len(offsets) + 1, "expired": len(offsets) - 1}
    admin.delete_topics([settings.qualified(ASKED)])[settings.qualified(ASKED)].result(10)
    told = desk.json("redrive", "--where", "true", "--yes", exit_code=1)
    assert told["redriven"] == 0
    assert "doesn't exist" in next(iter(told["reasons"]))
    admin.delete_topics([settings.qualified(DEAD)])[settings.qualified(DEAD)].result(10)
    wait_until(lambda: desk.counts() == {}, "the letters are forgotten with their topic")


def test_an_index_in_postgres_says_the_same(settings: Settings, postgres: Postgres) -> None:
    desk = ready(settings)
    letters(settings, [b"%d" % number for number in range(50)])
    assert desk.json("discard", "--id", "event-7", "--why", "x", "--yes")["discarded"] == 1
    assert desk.json("redrive", "--id", "event-9", "--yes")["redriven"] == 1

    def found(index: Index) -> tuple[Any, ...]:
        assert index.catch_up(NEVER_SECONDS).is_complete
        with index.database.reading() as connection:
            lying: dict[Any, array[int]] = places(
                connection, Selection(where="message like '%: 3%' or event_key = 'key-3'")
            )
            return groups(connection, Selection(states=()), 10), totals(connection, Selection(topic=ASKED)), lying

    answers = []
    for url in (None, postgres.new_database()):
        with closing(Index(settings, load_dead_settings(url=url))) as index:
            answers.append(found(index))
            # A second time there is nothing new, and the tables are there.
            assert found(index) == answers[-1]
    assert answers[0] == answers[1]
    assert answers[0][1] == (48, 1)
    assert {(group.state, group.letters) for group in answers[0][0].largest} == {
        (State.OPEN, 48),
        (State.DISCARDED, 1),
        (State.REDRIVEN, 1),
    }


def test_the_index_stops_at_its_time_and_goes_on_from_there(settings: Settings) -> None:
    ready(settings)
    letters(settings, [b"%d" % number for number in range(3_000)])
    with opened(settings, load_dead_settings()) as index:
        first = index.catch_up(0.0)
        assert 0 < first.letters < 3_000
        assert first.behind == 3_000 - first.letters
        second = index.catch_up(NEVER_SECONDS)
        assert (first.letters + second.letters, second.behind) == (3_000, 0)
    assert Desk(settings).counts() == {"open": 3_000}
