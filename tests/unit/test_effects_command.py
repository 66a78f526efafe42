"""`tidemill effects` as a person uses it, and what becomes of effects that are old."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.unit.effects_running import SCOPE, Deed, Shop, entries, event_of, settings_in, shops
from tidemill.cli.app import build
from tidemill.config import Settings
from tidemill.errors import EffectHeld
from tidemill.runtime.effects import batch
from tidemill.runtime.effects.database import Database

MakeShop = Callable[..., Shop]
Run = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def shop(settings: Settings) -> Iterator[MakeShop]:
    with shops(settings) as make:
        yield make


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("TIDEMILL_EFFECTS_LEASE_SECONDS", "1")
    monkeypatch.delenv("TIDEMILL_EFFECTS_URL", raising=False)
    return lambda *arguments: CliRunner().invoke(build(), ["effects", *arguments])


def held(shop: MakeShop) -> None:
    """An effect that waits for a person."""
    shop().die_in_it("hold")
    with pytest.raises(EffectHeld):
        shop().once(Deed(), "hold")


def test_list_shows_what_there_is_and_what_waits_for_an_answer(shop: MakeShop, run: Run) -> None:
    shop().once(Deed("r-17"), event=event_of("0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f"), key="mail")
    held(shop)
    shown = run("list")
    assert shown.exit_code == 0
    heading, first, second = (line.rstrip() for line in shown.stdout.splitlines())
    assert heading.split() == ["BEGUN", "(UTC)", "STATE", "EVENT", "STREAM", "KEY"]
    assert first.split()[2:] == ["unknown", "e-1", "shop", "charge"]
    assert second.split()[2:] == ["done", "0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f", "shop", "mail"]
    assert "1 may have happened or not: look, then `tidemill effects resolve`." in shown.stderr


def test_list_picks_by_state_stream_age_and_number(shop: MakeShop, run: Run) -> None:
    one = shop()
    for number in range(5):
        one.once(Deed(), event=event_of(f"e-{number}"))

    def ids(*arguments: str) -> list[str]:
        return [row["event"] for row in json.loads(run("list", "--json", *arguments).stdout)]

    assert sorted(ids()) == [f"e-{number}" for number in range(5)]
    assert len(ids("--limit", "2")) == 2
    assert ids("--state", "failed") == []
    assert len(ids("--stream", "shop")) == 5
    assert ids("--stream", "other") == []
    assert ids("--older-than", "1h") == []
    assert run("list", "--older-than", "soon").exit_code == 2


def test_an_empty_ledger_is_said_to_be_empty(run: Run) -> None:
    shown = run("list")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "No such effects.\n")


def test_show_tells_the_result_and_the_question(shop: MakeShop, run: Run) -> None:
    held(shop)
    shop().once(Deed({"receipt": "r-17"}), key="mail")
    shown = run("show", "e-1")
    assert shown.exit_code == 0
    assert 'result   {"receipt":"r-17"}' in shown.stdout
    assert "in the middle of it" in shown.stdout
    assert "Has it happened? Look, then `tidemill effects resolve`." in shown.stdout
    rows = json.loads(run("show", "e-1", "--json").stdout)
    assert [(row["key"], row["state"], row["result"]) for row in rows] == [
        ("charge", "unknown", None),
        ("mail", "done", {"receipt": "r-17"}),
    ]


def test_show_of_an_unknown_event_has_a_status_of_its_own(run: Run) -> None:
    shown = run("show", "nobody")
    assert (shown.exit_code, shown.stderr) == (5, "The ledger knows no effect of event nobody.\n")


def test_a_person_says_that_it_has_happened_and_the_next_try_gets_the_result(shop: MakeShop, run: Run) -> None:
    held(shop)
    said = run("resolve", "e-1", "charge", "--done", "--result", '{"receipt": "r-17"}')
    assert (said.exit_code, said.stdout) == (0, "✓ charge of e-1 counts as done\n")
    deed = Deed()
    assert shop().once(deed, "hold") == {"receipt": "r-17"}
    assert deed.times == 0


def test_a_person_says_that_it_has_not_happened_and_the_next_try_does_it(
    settings: Settings, shop: MakeShop, run: Run
) -> None:
    held(shop)
    assert run("resolve", "e-1", "charge", "--again").exit_code == 0
    (entry,) = entries(settings)
    assert (entry.state, "said that it is not done" in (entry.note or "")) == ("failed", True)
    deed = Deed("receipt")
    assert shop().once(deed, "hold") == "receipt"
    assert deed.times == 1


def test_what_is_known_or_under_way_needs_no_answer(shop: MakeShop, run: Run) -> None:
    shop().once(Deed("r-17"), key="mail")
    refused = run("resolve", "e-1", "mail", "--again")
    assert refused.exit_code == 1
    assert "The effect 'mail' of event e-1 is done: \"r-17\"" in refused.stderr
    one, tried = shop(), []
    one.once(lambda: tried.append(run("resolve", "e-1", "charge", "--again")), key="charge")
    assert tried[0].exit_code == 1
    assert "is under way" in tried[0].stderr


def test_a_result_that_could_not_be_kept_is_given_by_a_person(shop: MakeShop, run: Run) -> None:
    deed = Deed(object())
    with pytest.raises(Exception, match="not kept"):
        shop().once(deed)
    assert run("resolve", "e-1", "charge", "--done", "--result", "17").exit_code == 0
    assert shop().once(deed) == 17
    assert deed.times == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["e-1", "charge"], "Say either --done or --again."),
        (["e-1", "charge", "--done", "--again"], "Say either --done or --again."),
        (["e-1", "charge", "--again", "--result", "1"], "A result goes with --done."),
        (["e-1", "charge", "--done", "--result", "{"], "can't be a result"),
        (["e-1", "charge", "--done", "--result", "NaN"], "can't be a result"),
        (["nobody", "charge", "--done"], "The ledger knows no effect of event 'nobody'."),
        (["e-1", "other", "--done"], "It has: 'charge' of shop."),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(shop: MakeShop, run: Run, arguments: list[str], said: str) -> None:
    held(shop)
    refused = run("resolve", *arguments)
    assert refused.exit_code in (1, 2)
    assert said in " ".join(refused.stderr.replace("│", " ").split())


def test_two_streams_with_the_same_key_are_told_apart(shop: MakeShop, run: Run) -> None:
    held(shop)
    other = shop()
    other.effects._scope = "tidemill.other"
    other.once(Deed())
    assert "Say which by --stream." in run("resolve", "e-1", "charge", "--done").stderr
    assert run("resolve", "e-1", "charge", "--done", "--stream", SCOPE.removeprefix("tidemill.")).exit_code == 0


def test_a_ledger_of_another_version_is_left_alone(settings: Settings, shop: MakeShop, run: Run) -> None:
    shop().once(Deed())
    with Database(settings).transaction() as connection:
        connection.exec_driver_sql("UPDATE tidemill_effect_ledger SET version = 2")
    refused = run("list")
    assert refused.exit_code == 1
    assert "The ledger of effects is of version 2, expected 1." in refused.stderr


def age(settings: Settings, days: float) -> None:
    """Make everything older."""
    with Database(settings).transaction() as connection:
        milliseconds = int(days * 24 * 3600 * 1000)
        connection.exec_driver_sql(f"UPDATE tidemill_effects SET started_ms = started_ms - {milliseconds}")
        connection.exec_driver_sql(f"UPDATE tidemill_effect_owners SET seen_ms = seen_ms - {milliseconds}")


def clean(settings: Settings, keep_days: float, most: int = 100) -> int:
    with Database(settings).transaction() as connection:
        return batch.clean(connection, int(keep_days * 24 * 3600 * 1000), most)


def test_what_is_older_than_it_is_to_be_kept_goes_in_small_steps(settings: Settings, shop: MakeShop) -> None:
    one = shop()
    for number in range(7):
        one.once(Deed(), event=event_of(f"e-{number}"))
    age(settings, 90)
    one.once(Deed(), event=event_of("young"))
    assert clean(settings, 91) == 0
    assert [clean(settings, 90, most=3) for _ in range(4)] == [3, 3, 1, 0]
    assert len(entries(settings, "young")) == 1


def test_a_question_stays_until_it_is_answered(settings: Settings, shop: MakeShop) -> None:
    held(shop)
    shop().die_in_it("hold", key="other")
    age(settings, 1000)
    assert clean(settings, 90) == 0
    assert {entry.state for entry in entries(settings)} == {"unknown", "started"}


def test_whoever_uses_the_ledger_deletes_what_is_old(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, effects_keep_days=30)
    with shops(settings) as make:
        one = make()
        one.once(Deed(), event=event_of("old"))
        age(settings, 31)
        one.ledger._cleans_at = 0.0
        one.once(Deed(), event=event_of("young"))
    assert entries(settings, "old") == []
    assert len(entries(settings, "young")) == 1


def owners(settings: Settings) -> list[Any]:
    with Database(settings).transaction() as connection:
        return list(connection.exec_driver_sql("SELECT owner FROM tidemill_effect_owners"))


def test_a_worker_that_ends_in_good_order_leaves_no_owner_behind(settings: Settings) -> None:
    with shops(settings) as make:
        make().once(Deed())
        assert len(owners(settings)) == 1
    assert owners(settings) == []


def test_owners_that_are_no_more_go_once_nothing_hangs_on_them(settings: Settings, shop: MakeShop) -> None:
    shop().die_in_it("again")
    age(settings, 2)
    clean(settings, 90)
    assert len(owners(settings)) == 1
    shop().once(Deed(), "again")
    clean(settings, 90)
    assert len(owners(settings)) == 1
