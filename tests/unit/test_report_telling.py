"""Who is told of a report, and with which words and links; and the settings they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.email.templates import Templates
from streams.notification.request import check_request
from streams.report.failure import OURS, tell_failure
from streams.report.making import Made
from streams.report.settings import ReportSettings, load_report_settings
from streams.report.storing import store_files
from streams.report.tell import check_tell
from streams.report.telling import messages
from tests.unit.report_samples import AT, BARE, made, shop, write_report
from tidemill.errors import ConfigError, Reject
from tidemill.event import Event, Position
from tidemill.events import EmailRequested, NotificationRequested, ReportRequested
from tidemill.store import Store


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    shop(tmp_path / "shop.db", [(1, "a", 1)], monkeypatch)
    write_report(tmp_path / "reports", report__toml=BARE + '[parameters.day]\ntype = "date"\ndefault = "yesterday"\n')
    return made(tmp_path / "reports", tmp_path / "out", formats=["csv", "html"])


def told(result: Made, request: ReportRequested, tmp_path: Path, **settings: object) -> list[object]:
    store = Store.from_urls((tmp_path / "store").as_uri())
    files = store_files(result, store)
    chosen = ReportSettings(**settings)  # type: ignore[arg-type]
    return list(messages(request, result, files, at=AT, seconds=1.234, settings=chosen, home=store.home.uri))


def test_each_person_gets_a_mail_of_their_own_that_the_template_can_fill_in(result: Made, tmp_path: Path) -> None:
    request = ReportRequested(report="goods", tell=["Ada Lovelace <ada@example.com>", "bob@example.com"], locale="de")
    mails = told(result, request, tmp_path, links="https://app.example.com/files/")
    templates = Templates(Path(__file__).parents[2] / "examples/email/templates")
    assert [mail.to for mail in mails if isinstance(mail, EmailRequested)] == [[person] for person in request.tell]
    for mail, name in zip(mails, ("Ada Lovelace", "bob"), strict=True):
        assert isinstance(mail, EmailRequested)
        rendered = templates.render(mail.template or "", json.loads(mail.context), mail.locale, subject=None)
        assert rendered.subject == "Goods ist fertig"
        assert f"Hallo {name}" in (rendered.text or "")
        assert "https://app.example.com/files/reports/" in (rendered.html or "")


def test_a_user_gets_a_notification_without_a_link_that_nobody_can_open(result: Made, tmp_path: Path) -> None:
    request = ReportRequested(report="goods", user="u-1")
    (notice,) = told(result, request, tmp_path)
    assert isinstance(notice, NotificationRequested)
    assert (notice.recipient, notice.title, notice.url) == ("u-1", "Goods is ready", None)
    (notice,) = told(result, request, tmp_path, links="https://app.example.com/files")
    assert isinstance(notice, NotificationRequested)
    assert (notice.url or "").startswith("https://app.example.com/files/reports/")


def test_files_are_stored_under_their_content_and_storing_again_changes_nothing(result: Made, tmp_path: Path) -> None:
    store = Store.from_urls((tmp_path / "store").as_uri())
    first = store_files(result, store)
    assert store_files(result, store) == first
    for file in first:
        assert file.sha256 in file.uri
        assert file.uri.endswith(f"/{file.name}")
        assert len(store.read(file.uri, 10**7)) == file.bytes
    assert [file.name for file in first] == ["goods-2026-11-24.csv", "goods-2026-11-24.html"]


@pytest.mark.parametrize("people", [["no address"], ["a@x.example\r\nBcc: b@x.example"], ["a@x.example"] * 21])
def test_people_who_are_no_addresses_are_refused_before_any_work(people: list[str]) -> None:
    with pytest.raises(Reject, match="tell holds"):
        check_tell(ReportRequested(report="goods", tell=people), ReportSettings())


def test_a_setting_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REPORT_LINKS", "ftp://x")
    with pytest.raises(ConfigError, match="TIDEMILL_REPORT_LINKS"):
        load_report_settings()


def failed(request: ReportRequested, error: Exception) -> list[EmailRequested | NotificationRequested]:
    event = Event(request, key=None, headers=[("ce_id", b"q-1")], position=Position("report.requested", 0, 0, 0))
    return list(tell_failure(event, error))


def test_of_a_report_that_cant_be_made_its_user_and_its_readers_are_told_with_the_reason_if_it_is_for_them() -> None:
    request = ReportRequested(report="goods", title="Goods", tell=["ada@example.com", "bob@example.com"], user="u-1")
    notice, *mails = failed(request, Reject("region must be North or South."))
    assert isinstance(notice, NotificationRequested)
    assert (notice.recipient, notice.title) == ("u-1", "Goods couldn't be made")
    assert notice.body == "region must be North or South."
    assert [mail.to for mail in mails if isinstance(mail, EmailRequested)] == [["ada@example.com"], ["bob@example.com"]]
    assert failed(request, ConnectionError("db-7.internal: password hunter2"))[0].body == OURS  # type: ignore[union-attr]


def test_whatever_a_request_was_refused_for_is_no_reason_not_to_tell_of_it() -> None:
    hostile = ReportRequested(
        report="\x00\n" * 5_000 + "x" * 5_000, tell=["nobody\r\nBcc: all@example.com"], user="u-1"
    )
    (notice,) = failed(hostile, Reject("a\x1b[31m" + "b" * 50_000))
    assert isinstance(notice, NotificationRequested)
    check_request(notice, event_id="n-1", time=AT)
    assert failed(ReportRequested(report="goods"), Reject("no")) == []
