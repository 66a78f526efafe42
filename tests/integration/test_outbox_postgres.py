"""The outbox's tables and what writers tell, on a real Postgres; no broker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

from tests.integration.postgres import Postgres
from tidemill import outbox
from tidemill.config import load_settings
from tidemill.events import JobCancel
from tidemill.outbox.targets import CHANNEL

PAGE = Path(__file__).parents[2] / "docs/outbox.md"


def test_the_documented_migration_makes_the_tables_and_takes_them_back(postgres: Postgres) -> None:
    (example,) = re.findall(r"With Alembic:\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    migration: dict[str, Any] = {}
    exec(example, migration)
    engine = create_engine(postgres.new_database())
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        migration["upgrade"]()
        outbox.add(connection, JobCancel(job="job-1"), settings=load_settings())
        assert set(inspect(connection).get_table_names()) == {"tidemill_outbox", "tidemill_outbox_identity"}
        migration["downgrade"]()
        assert inspect(connection).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize("notify", [True, False])
def test_writers_tell_of_their_rows_unless_they_are_not_to(postgres: Postgres, notify: bool) -> None:
    settings = load_settings(outbox_notify=notify)
    dsn = postgres.new_database().replace("+psycopg", "")
    with psycopg.connect(dsn, autocommit=True) as hearing, psycopg.connect(dsn) as writing:
        hearing.execute(outbox.ddl("postgresql"))
        hearing.execute(f"LISTEN {CHANNEL}")
        outbox.add(writing, JobCancel(job="job-1"), settings=settings)
        writing.commit()
        # Postgres delivers in the order of commits: what comes before the mark is all there is.
        writing.execute(f"SELECT pg_notify('{CHANNEL}', 'mark')")
        writing.commit()
        told = []
        for each in hearing.notifies(timeout=10):
            if each.payload == "mark":
                break
            told.append(each.payload)
        assert len(told) == (1 if notify else 0)
        assert hearing.execute("SELECT count(*) FROM tidemill_outbox").fetchone() == (1,)
