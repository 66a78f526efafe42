"""The outbox from a service's transaction to Kafka, with a real Postgres (or SQLite) and a real broker."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from sqlalchemy import Connection, create_engine, text

from producers.outbox import relay as relay_module
from producers.outbox import rows
from producers.outbox.relay import Relay
from producers.outbox.settings import OutboxSettings, load_outbox_settings
from producers.outbox.topics import TOPICS
from scheduler.log import read_log
from tests.integration.commands import command_environment
from tests.integration.postgres import Postgres
from tests.integration.steps import StepAsked
from tests.integration.working import ends, header, prepare, settle, wait_until
from tidemill import outbox
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import OutboxUnavailable, UnknownTopic
from tidemill.event import Event
from tidemill.topics import apply, house_topics

ASKED = StepAsked.__contract__.topic
QUICK: dict[str, Any] = {"look_seconds": 1.0, "poll_seconds": 0.05, "hold_seconds": 0.5}


class Shop:
    """A service with a database of its own, and relays for its outbox."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url
        self.dsn = url.replace("+psycopg", "")

    def options(self, **more: Any) -> OutboxSettings:
        return load_outbox_settings(url=self.url, **{**QUICK, **more})

    def waiting(self) -> int:
        """Rows in the table."""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            count = connection.execute(text("SELECT count(*) FROM tidemill_outbox")).scalar_one()
        engine.dispose()
        return int(count)

    def problems(self) -> list[str]:
        """Why rows are held."""
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute("SELECT problem FROM tidemill_outbox WHERE problem IS NOT NULL ORDER BY id")
            return [problem for (problem,) in found]

    def add(self, *steps: StepAsked) -> list[str]:
        """Events in a committed transaction."""
        with psycopg.connect(self.dsn) as connection:
            return outbox.add_many(connection, steps, settings=self.settings)

    @contextmanager
    def relaying(self, **options: Any) -> Iterator[Relay]:
        """A relay for the time of the block."""
        program = Relay(self.settings, self.options(**options))
        failures: list[BaseException] = []

        def run() -> None:
            try:
                program.run()
            except BaseException as error:  # noqa: BLE001 - told by the test's own thread
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield program
        finally:
            program.stop()
            thread.join(30)
            assert not thread.is_alive()
        if failures:
            raise failures[0]


@pytest.fixture
def shop(settings: Settings, postgres: Postgres) -> Shop:
    """A service on Postgres."""
    prepare(settings, StepAsked)
    apply(settings, [], house=[*house_topics(), *TOPICS])
    found = Shop(settings, postgres.new_database())
    with psycopg.connect(found.dsn) as connection:
        connection.execute(outbox.ddl("postgresql"))
    return found


def step(lane: str, number: int = 0, **more: Any) -> StepAsked:
    return StepAsked(lane=lane, number=number, **more)


def messages(settings: Settings) -> list[Message]:
    """What readers of committed events see."""
    return [*read_log(settings, ASKED)]


def events(settings: Settings) -> list[Event[StepAsked]]:
    """The same, decoded, once relays have ended."""
    settle(settings, ASKED)
    with Registry(settings) as registry:
        codec = Codec(registry)
        return [Event.received(codec.decode(found.value(), StepAsked), found) for found in messages(settings)]


def owned(relay: Relay) -> int:
    return sum(lane.is_owned.is_set() for lane in relay._lanes)


def test_committed_events_arrive_in_order_and_rolled_back_ones_never(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as connection:
        for number in range(50):
            outbox.add(connection, step(f"lane-{number % 5}", number), id=f"e{number}", settings=shop.settings)
            if number % 10 == 9:
                connection.commit()
                outbox.add(connection, step("never"), settings=shop.settings)
                connection.rollback()
    with shop.relaying():
        wait_until(lambda: shop.waiting() == 0, "all rows are moved")
    found = events(shop.settings)
    assert len(found) == 50
    for lane in range(5):
        assert [event.id for event in found if event.key == f"lane-{lane}"] == [f"e{n}" for n in range(lane, 50, 5)]


def test_a_commit_wakes_the_relay(shop: Shop) -> None:
    with shop.relaying(look_seconds=300.0) as relay:
        wait_until(lambda: owned(relay) == 8, "the relay has all lanes")
        shop.add(step("a"))
        wait_until(lambda: shop.waiting() == 0, "the row is moved, though nobody looks", seconds=20)


async def test_psycopgs_asynchronous_connection_takes_events(shop: Shop) -> None:
    async with await psycopg.AsyncConnection.connect(shop.dsn) as connection:
        await outbox.add_async(connection, step("a"), settings=shop.settings)
        await connection.rollback()
        await outbox.add_async(connection, step("b"), settings=shop.settings)
    assert shop.waiting() == 1


def test_a_late_commit_is_not_passed_over(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as late, shop.relaying():
        outbox.add(late, step("late"), settings=shop.settings)
        shop.add(*(step("early", number) for number in range(20)))
        wait_until(lambda: shop.waiting() == 0, "the rows that were committed are moved")
        assert sum(ends(shop.settings, ASKED).values()) >= 20
        late.commit()
        wait_until(lambda: shop.waiting() == 0, "the late row is moved")
    assert {event.key for event in events(shop.settings)} == {"early", "late"}


def test_rows_that_could_not_be_removed_any_more_are_not_published_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add(*(step(f"lane-{number}", number) for number in range(40)))
    remove, lost = rows.remove, threading.Event()

    def cut_off(connection: Connection, ids: Any) -> int:
        lost.set()
        raise OutboxUnavailable("the connection is gone, as after a kill")

    monkeypatch.setattr(rows, "remove", cut_off)
    with shop.relaying():
        assert lost.wait(30)
        wait_until(lambda: len(messages(shop.settings)) == 40, "all are published")
    assert shop.waiting() == 40
    monkeypatch.setattr(rows, "remove", remove)
    with shop.relaying():
        wait_until(lambda: shop.waiting() == 0, "what was published is removed")
    settle(shop.settings, ASKED)
    assert len(messages(shop.settings)) == 40


def test_a_row_that_cant_be_published_holds_up_its_key_alone_until_it_can(shop: Shop) -> None:
    prepare(shop.settings, StepAsked)
    elsewhere = shop.settings.model_copy(update={"namespace": shop.settings.namespace + "later."})
    with psycopg.connect(shop.dsn) as connection:
        for number in range(3):
            outbox.add(connection, step("a", number), settings=elsewhere)
            outbox.add(connection, step("b", number), settings=shop.settings)
    with shop.relaying():
        wait_until(lambda: len(messages(shop.settings)) == 3, "the others are moved")
        wait_until(lambda: len(shop.problems()) == 3, "three rows are held")
        told = shop.problems()
        assert "doesn't exist" in told[0]
        assert "waits behind row" in told[1]
        apply(elsewhere, [StepAsked.__contract__])
        wait_until(lambda: shop.waiting() == 0, "they are moved once their topic is there")
    assert [event.payload.number for event in events(elsewhere)] == [0, 1, 2]


def test_an_event_is_what_a_publisher_would_have_sent(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as connection:
        outbox.add(connection, step("a", note="ü"), id="mine", headers={"x": b"\xff"}, settings=shop.settings)
    with shop.relaying():
        wait_until(lambda: shop.waiting() == 0, "the row is moved")
    settle(shop.settings, ASKED)
    (message,) = messages(shop.settings)
    assert header(message, "ce_id") == "mine"
    assert ("x", b"\xff") in (message.headers() or [])
    (event,) = events(shop.settings)
    assert event.payload == step("a", note="ü")


def test_relays_share_the_lanes_and_one_takes_over_what_the_other_leaves(shop: Shop) -> None:
    with shop.relaying() as first:
        wait_until(lambda: owned(first) == 8, "one relay has all lanes")
        with shop.relaying() as second:
            wait_until(lambda: (owned(first), owned(second)) == (4, 4), "each has half")
            shop.add(*(step(f"lane-{number}", number) for number in range(40)))
            wait_until(lambda: shop.waiting() == 0, "all rows are moved")
            assert first.moved
            assert second.moved
        wait_until(lambda: owned(first) == 8, "the one has all again")
    settle(shop.settings, ASKED)
    assert len(messages(shop.settings)) == 40


def test_an_outbox_in_sqlite_is_emptied_too(settings: Settings, tmp_path: Path) -> None:
    prepare(settings, StepAsked)
    apply(settings, [], house=[*house_topics(), *TOPICS])
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(outbox.ddl("sqlite"))
    shop = Shop(settings, f"sqlite:///{file}")
    with shop.relaying() as relay:
        wait_until(lambda: owned(relay) == 8, "the relay has all lanes")
        outbox.add_many(connection, [step("a", number) for number in range(30)], settings=settings)
        connection.commit()
        wait_until(lambda: shop.waiting() == 0, "all rows are moved")
    connection.close()
    assert [event.payload.number for event in events(settings)] == [*range(30)]


def test_a_cluster_without_the_books_is_told_at_once(settings: Settings, postgres: Postgres) -> None:
    relay = Relay(settings, load_outbox_settings(url=postgres.new_database()))
    with pytest.raises(UnknownTopic, match=r"outbox\.books' doesn't exist.*tidemill topics apply"):
        relay.run()


def test_status_says_what_waits_and_why(shop: Shop, run_tidemill: Callable[..., Any]) -> None:
    assert "0 rows wait" in run_tidemill("outbox", "status", url=shop.url).stdout
    shop.add(step("a"), step("b"))
    assert "2 rows wait, the oldest for" in run_tidemill("outbox", "status", url=shop.url).stdout
    with psycopg.connect(shop.dsn) as connection:
        connection.execute("UPDATE tidemill_outbox SET problem = 'no such topic' WHERE key = 'a'")
    told = run_tidemill("outbox", "status", url=shop.url)
    assert told.exit_code == 1
    assert "no such topic" in told.stderr


@pytest.fixture
def run_tidemill(settings: Settings) -> Callable[..., Any]:
    """Runs `tidemill` with these settings."""
    from typer.testing import CliRunner

    from tidemill.cli.app import build

    def run(*arguments: str, url: str) -> Any:
        environment = {**command_environment(settings), "TIDEMILL_OUTBOX_URL": url, "COLUMNS": "200"}
        return CliRunner().invoke(build(), [*arguments], env=environment)

    return run


def test_a_lane_that_fails_for_a_fault_of_ours_ends_the_program(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "take", lambda *_, **__: 1 / 0)
    relay = relay_module.Relay(shop.settings, shop.options())
    with pytest.raises(ZeroDivisionError):
        relay.run()
