"""The directory and what waits on Postgres, as several workers have it: at once, and each notice in one delivery."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from streams.notification.answers import NotReached
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.waiting import Books, Leaving
from tests.integration.postgres import Postgres
from tests.unit.notification_samples import NOON, core, notice, settings

WORKERS = 4
EACH = 25


def test_workers_on_postgres_take_in_and_let_go_at_once_and_none_is_lost_or_doubled(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    chosen = settings(directory_url=url)
    databases = [Database(chosen, core(tmp_path)) for _ in range(WORKERS)]
    start = threading.Barrier(WORKERS + 1)

    def work(number: int) -> list[str]:
        # The tables are made by whoever comes first, and all come at once.
        Directory(databases[number]).put(Recipient(f"only-{number}"))
        books = Books(databases[number], chosen)
        start.wait(30)
        told: list[str] = []
        for index in range(EACH):
            waiting = books.accept(notice(f"{number}-{index}", digest="d"), NOON).later
            assert waiting is not None
            if waiting.wakes:
                leaving = books.close(waiting.delivery, "u-1", f"due-{number}-{index}", NOON)
                assert isinstance(leaving, Leaving)
                told += [each.id for each in leaving.notices]
        return told

    with ThreadPoolExecutor(WORKERS) as pool:
        working = [pool.submit(work, number) for number in range(WORKERS)]
        Directory(databases[0]).put(Recipient("u-1"))
        start.wait(30)
        told = [id for each in working for id in each.result()]
    assert Books(databases[0], chosen).waiting(10) == []
    assert sorted(told) == sorted(f"{number}-{index}" for number in range(WORKERS) for index in range(EACH))
    for database in databases:
        database.close()


def test_on_postgres_a_delivery_that_reached_nobody_is_tried_again_by_its_own_event(
    postgres: Postgres, tmp_path: Path
) -> None:
    chosen = settings(directory_url=postgres.new_database())
    database = Database(chosen, core(tmp_path))
    Directory(database).put(Recipient("u-1"))
    books = Books(database, chosen)
    first = books.accept(notice("n-1"), NOON).now
    assert first is not None
    error = NotReached("down", [], after_seconds=None)
    put_off = books.put_off(first, "u-1", error=error, after_seconds=None, now=NOON)
    assert put_off is not None
    assert books.accept(notice("n-1"), NOON).later == put_off
    later = NOON + timedelta(seconds=5)
    assert books.close("n-1", "u-1", "stray", later, cause="nothing") is None
    assert books.close("n-1", "u-1", "due-1", later, cause="n-1") == first
    database.close()
