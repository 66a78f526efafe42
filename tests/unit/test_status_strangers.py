"""Events of strangers in the table of jobs: without headers, with ids of any text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.status_samples import (
    Topics,
    folded,
    id_of,
    image,
)
from tidemill.errors import Reject
from tidemill.jobs.queries import job_status
from tidemill.jobs.state import State
from tidemill.jobs.status import JobStatus

ORDERS = int(os.environ.get("TIDEMILL_TEST_ORDERS", "6"))
"""Orders of reading that are tried; more of them take a second each."""


def job_after(topics: Topics, folder: Path, job: str) -> JobStatus:
    """The job once all was read."""
    with folded(topics, [topics.messages], folder).reading() as connection:
        status = job_status(connection, job)
    assert status is not None
    return status


def test_an_event_without_headers_is_a_job_and_its_dead_letter_finds_it(tmp_path: Path) -> None:
    topics = Topics()
    foreign = topics.append("test.image.requested", b"key", b"not Avro", [])
    topics.bury(foreign, image, Reject("not Avro"), attempts=0)
    status = job_after(topics, tmp_path, id_of(foreign))
    assert (status.state, status.events, status.type) == (State.FAILED, 1, "image.requested")


@pytest.mark.parametrize("strange", ["nul\0byte", "x" * 2000, "snow\u2603man", "line\nbreak"])
def test_an_id_may_be_any_text(strange: str, tmp_path: Path) -> None:
    topics = Topics()
    headers = [("ce_id", strange.encode()), ("tm_root", strange.encode())]
    topics.append("test.image.processed", None, b"junk", headers)
    database = folded(topics, [topics.messages], tmp_path)
    from tidemill.jobs.stored_id import stored_id

    with database.reading() as connection:
        assert job_status(connection, stored_id(strange)) is not None
