"""The report stream on a real Kafka: files in the store, who is told, topics as tables, and giving up."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from examples.reports.sample_database import make_database
from streams.report.handler import report
from tests.integration.postgres import Postgres
from tests.integration.report_traces import quick_email, quick_image
from tests.integration.working import events, header, messages, prepare, publish, until, until_there, working
from tests.unit.report_samples import BARE, EXAMPLES, made, text_of, write_report
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import HandlerTimeout, Reject
from tidemill.events import (
    EmailRequested,
    EmailSent,
    ImageProcessed,
    ImageRequested,
    JobCancel,
    JobProgress,
    NotificationRequested,
    ReportReady,
    ReportRequested,
)
from tidemill.publisher import Publisher
from tidemill.store import Store
from tidemill.topics import apply, house_topics

READY = ReportReady.__contract__.topic
DEAD = ReportRequested.__contract__.dead_topic
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"


@pytest.fixture
def ready(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics, a shop, and a store of the test's own; the worker's processes get the same."""
    prepare(
        settings,
        *(ReportRequested, ReportReady, EmailRequested, EmailSent, ImageRequested, ImageProcessed),
        *(NotificationRequested, JobProgress, JobCancel),
    )
    apply(settings, [], house=house_topics())
    make_database(tmp_path / "shop.db", date(2026, 11, 23))
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", f"sqlite:///{tmp_path / 'shop.db'}")
    monkeypatch.setenv("TIDEMILL_REPORT_FOLDER", str(EXAMPLES))
    return settings.model_copy(
        update={"store_url": (tmp_path / "store").as_uri(), "effects_url": f"sqlite:///{tmp_path}/effects.db"}
    )


async def test_a_report_is_stored_its_asker_is_told_and_asking_again_makes_the_same(ready: Settings) -> None:
    request = ReportRequested(
        report="sales",
        parameters={"from": "2026-01-01", "until": "2026-03-31"},
        tell=["Ada <ada@example.com>"],
        user="u-1",
    )
    with Registry(ready) as registry, Publisher(ready, codec=Codec(registry)) as publisher:
        publisher.publish(request, id="q1")
        publisher.publish(request, id="q1")
        publisher.publish(ReportRequested(report="../sales", user="u-2"), id="evil")
    async with working(ready, report):
        await until_there(ready, READY, 2)
        await until_there(ready, DEAD, 1)
    first, second = (event.payload for event in events(ready, ReportReady, 2))
    store = Store.from_settings(ready)
    assert [file.format for file in first.files] == ["pdf", "html", "xlsx", "csv"]
    for file in first.files:
        data = store.read(file.uri, 10**8)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    assert first.parameters == {"from": "2026-01-01", "until": "2026-03-31", "region": "all"}
    assert first.rows == data.count(b"\r\n") - 1
    # The two were published at different moments, which a PDF carries; the rows are the same.
    assert second.files[3].sha256 == first.files[3].sha256
    mail = events(ready, EmailRequested, 2)[0]
    assert (mail.payload.to, mail.payload.template) == (["Ada <ada@example.com>"], "report-ready")
    assert len(json.loads(mail.payload.context)["files"]) == 4
    notices = {notice.cause: notice.payload for notice in events(ready, NotificationRequested, 3)}
    assert {cause: notice.recipient for cause, notice in notices.items()} == {"q1": "u-1", "evil": "u-2"}
    assert (notices["evil"].title, notices["evil"].body[:29]) == (
        "../sales couldn't be made",
        "There is no report '../sales'",
    )
    (dead,) = messages(ready, DEAD, 1)
    assert "no report '../sales'" in header(dead, "tm_dead_message")


async def test_the_daily_report_counts_what_the_streams_did(ready: Settings) -> None:
    # Near midnight it waits for the new day, so that all of it happens within one.
    await until(lambda: datetime.now(UTC).time() < time(23, 59), "a new day has begun", seconds=61)
    pictures = [ImageRequested(source=f"file:///{n}.jpg", renditions=[]) for n in range(30)]
    publish(ready, [*pictures, *(ImageRequested(source=f"file:///broken-{n}", renditions=[]) for n in range(3))])
    publish(ready, [EmailRequested(to=[f"a{n}@example.com"], subject="s", text="t") for n in range(12)])
    async with working(ready, quick_image, quick_email):
        await until_there(ready, ImageProcessed.__contract__.topic, 30)
        await until_there(ready, EmailSent.__contract__.topic, 12)
        await until_there(ready, ImageRequested.__contract__.dead_topic, 3)
    today = datetime.now(UTC).date().isoformat()
    publish(ready, [ReportRequested(report="daily-activity", parameters={"day": today}, formats=["html", "csv"])])
    async with working(ready, report):
        await until_there(ready, READY, 1)
    (done,) = events(ready, ReportReady, 1)
    page, table = (Store.from_settings(ready).read(file.uri, 10**7).decode() for file in done.payload.files)
    assert done.payload.rows == 45
    assert table.count(",done\r\n") == 42
    assert table.count(",failed\r\n") == 3
    assert table.splitlines()[1].split(",")[2] != ""
    assert '<span class="value">42</span>' in page
    assert '<td>Pictures</td><td class="n">30</td><td class="n">3</td>' in page
    assert "The picture is cut off." in page
    assert done.payload.notes == []


async def test_a_cancelled_report_is_stopped_and_leaves_nothing_in_the_store(
    ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path / "reports", "endless", goods__sql=ENDLESS)
    monkeypatch.setenv("TIDEMILL_REPORT_FOLDER", str(tmp_path / "reports"))
    (job,) = publish(ready, [ReportRequested(report="endless", formats=["csv"])])
    async with working(ready, report) as worker:
        await until(lambda: worker.running == 1, "the report is begun")
        publish(ready, [JobCancel(job=job, why="wrong one")])
        states: list[str] = []
        while "cancelled" not in states:
            await until_there(ready, JobProgress.__contract__.topic, len(states) + 1)
            states = [event.payload.state for event in await asyncio.to_thread(events, ready, JobProgress)]
        assert await worker.stop() == 0
    assert not (tmp_path / "store").exists()
    assert messages(ready, DEAD, 0) == []


def test_postgres_is_read_in_a_transaction_that_cant_write(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE goods AS SELECT n AS id, 'thing ' || n AS name, n * 1.5 AS price"
                " FROM generate_series(1, 50000) n"
            )
        )
        connection.execute(text("CREATE SEQUENCE numbers"))
    monkeypatch.setenv("TIDEMILL_REPORT_SOURCE_SHOP", url)
    folder, out = tmp_path / "reports", tmp_path / "out"
    write_report(
        folder,
        goods__sql="SELECT *, ':x'::text AS said FROM goods WHERE id > :least ORDER BY id",
        report__toml=BARE + '[parameters.least]\ntype = "int"\ndefault = 10\n',
    )
    result = made(folder, out, formats=["csv"])
    assert result.rows == 49_990
    assert text_of(result, "csv").splitlines()[1] == "11,thing 11,16.5,:x"
    for sql in ("WITH gone AS (DELETE FROM goods RETURNING *) SELECT * FROM gone", "SELECT nextval('numbers')"):
        write_report(folder, "writes", goods__sql=sql)
        with pytest.raises(Reject, match=r"data-modifying|read-only transaction"):
            made(folder, out, "writes", formats=["csv"])
    write_report(folder, "endless", goods__sql="SELECT pg_sleep(60)", report__toml=BARE + "[limits]\nseconds = 0.5\n")
    with pytest.raises(HandlerTimeout):
        made(folder, out, "endless", formats=["csv"])
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM goods")).scalar() == 50_000
    engine.dispose()
