"""Many follow jobs, and the table is asked once for all of them."""

from __future__ import annotations

import asyncio

import pytest

from producers.gateway.errors import Problem
from producers.gateway.jobs.places import Places
from producers.gateway.jobs.watch import Followed, JobWatch, version_of
from tests.unit.gateway_job_samples import Table, status
from tidemill.errors import StatusUnavailable
from tidemill.jobs import State


async def until_state(followed: Followed, state: State) -> None:
    async with asyncio.timeout(5):
        while followed.status is None or followed.status.state is not state:
            await followed.changed(None)


async def test_a_thousand_followers_cost_one_query_a_beat() -> None:
    table = Table()
    table.jobs = {str(number): status(str(number), State.QUEUED) for number in range(1000)}
    watch = JobWatch(table, 0.05)
    done = 0
    ready = asyncio.Barrier(1001)

    async def follow(number: int) -> None:
        nonlocal done
        with watch.following(str(number)) as followed:
            await until_state(followed, State.QUEUED)
            await ready.wait()
            await until_state(followed, State.DONE)
            done += 1

    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(follow(number))
        await ready.wait()
        before = table.asked["glances"]
        table.jobs |= {str(number): status(str(number), State.DONE, 1) for number in range(1000)}
    assert done == 1000
    assert table.asked["glances"] - before <= 3
    assert table.asked["statuses"] == 2000
    await watch.close()


async def test_nobody_follows_and_nothing_is_asked() -> None:
    table = Table()
    watch = JobWatch(table, 0.05)
    with watch.following("1") as followed:
        assert await followed.changed(5)  # the first look, though it found nothing
        assert followed.status is None
    asked = table.asked["glances"]
    task = watch._task
    assert task is not None
    await asyncio.wait_for(task, 5)
    assert table.asked["glances"] - asked <= 1


async def test_two_who_follow_one_job_share_it_and_the_second_is_told_what_the_first_knows() -> None:
    table = Table()
    table.jobs["1"] = status("1", State.RUNNING)
    watch = JobWatch(table, 0.05)
    with watch.following("1") as first:
        await until_state(first, State.RUNNING)
        with watch.following("1") as second:
            assert second is first
        table.jobs["1"] = status("1", State.DONE, 2)
        await until_state(first, State.DONE)
    await watch.close()


@pytest.mark.parametrize("error", [StatusUnavailable("away"), KeyError("a fault")])
async def test_a_database_that_is_away_is_told_and_what_follows_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("producers.gateway.jobs.watch.AWAY_SECONDS", 0.05)
    table = Table()
    table.error = error
    watch = JobWatch(table, 0.05)
    with watch.following("1") as followed:
        assert await followed.changed(5)
        told = followed.error
        assert isinstance(told, StatusUnavailable)
        table.error = None
        table.jobs["1"] = status("1", State.DONE)
        await until_state(followed, State.DONE)
        assert followed.error is None
    await watch.close()


def test_a_version_changes_with_whatever_is_told() -> None:
    versions = {
        version_of(status("1", State.QUEUED)),
        version_of(status("1", State.QUEUED, 1)),
        version_of(status("1", State.DONE, 1)),
    }
    assert len(versions) == 3
    assert all(version.isprintable() and '"' not in version for version in versions)


def test_places_are_bounded_in_all_and_for_each_token() -> None:
    places = Places("event streams", 3, 2)
    places.take("a")
    places.take("a")
    with pytest.raises(Problem, match="This token has 2 event streams") as refused:
        places.take("a")
    assert refused.value.status == 429
    places.take("b")
    with pytest.raises(Problem, match="The gateway has 3 event streams") as refused:
        places.take("c")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    places.leave("a")
    places.take("c")
    assert places.taken == 3
