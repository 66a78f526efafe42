"""The table of jobs, asked for many jobs at once: the same answers as for each alone, in a few queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event, select

from tests.unit.status_samples import PICTURE, PROCESSED, Topics, folded
from tests.unit.test_status_folding import COURSES
from tidemill.jobs import queries
from tidemill.jobs.database import Database
from tidemill.jobs.queries import job_glance, job_glances, job_status, job_statuses
from tidemill.jobs.tables import JOBS


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Jobs of every course that is known, one of them with many events."""
    topics = Topics()
    for course in COURSES:
        alone = topics.beside()
        course(alone)
        topics.messages += alone.messages
    many = topics.publish(PICTURE)
    for _ in range(queries.FEW_EVENTS + 10):
        topics.publish(PROCESSED, cause=many)
    return folded(topics, [topics.messages], tmp_path)


def test_many_jobs_are_told_as_each_alone(database: Database) -> None:
    with database.reading() as connection:
        ids = list(connection.scalars(select(JOBS.c.job_id)))
        assert len(ids) == len(COURSES) + 1
        assert job_statuses(connection, [*ids, "unknown"]) == {each: job_status(connection, each) for each in ids}
        assert job_glances(connection, [*ids, "unknown"]) == {each: job_glance(connection, each) for each in ids}


def test_it_takes_two_queries_however_many_there_are(database: Database) -> None:
    with database.reading() as connection:
        ids = list(connection.scalars(select(JOBS.c.job_id).where(JOBS.c.events <= queries.FEW_EVENTS)))
        statements: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert len(job_statuses(connection, ids)) == len(ids) == len(COURSES)
    assert len(statements) == 2
