"""Tokens: what they allow, how they are kept, when a running gateway sees that one is new or revoked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from producers.gateway import command
from producers.gateway.errors import Problem
from producers.gateway.settings import load_gateway_settings
from producers.gateway.tokens.book import TokenBook
from producers.gateway.tokens.rate import Bucket
from producers.gateway.tokens.request import new_token
from producers.gateway.tokens.store import FILE, TokenStore
from producers.gateway.tokens.token import Token, hashed, is_pattern, is_same, new_secret, parts_of
from tests.unit.gateway_calls import PICTURE, Calls, calls
from tidemill.config import load_settings
from tidemill.errors import ConfigError

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def made(store: TokenStore, name: str = "shop", *publish: str, **changes: object) -> tuple[Token, str]:
    arguments: dict[str, object] = {"read_jobs": False, "upload": False, "expires": "90d", "rate": None, "burst": None}
    token, text, hash_ = new_token(name, publish, **{**arguments, "now": datetime.now(UTC), **changes})  # type: ignore[arg-type]
    store.add(token, hash_)
    return token, text


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(load_settings(state_dir=tmp_path / "state"), load_gateway_settings())


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Calls]:
    store = TokenStore(load_settings(state_dir=tmp_path / "state"), load_gateway_settings())
    made(store, "first", "*")
    async with calls(tmp_path, open=False, token_seconds=0.05) as started:
        yield started


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def test_a_secret_has_256_bits_and_only_its_hash_is_kept(store: TokenStore, tmp_path: Path) -> None:
    id_, text, hash_ = new_secret()
    assert re.fullmatch(r"tmg_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
    parts = parts_of(text)
    assert parts is not None
    assert parts[0] == id_
    assert hash_ == hashed(parts[1])
    assert is_same(parts[1], hash_)
    assert not is_same(parts[1][:-1] + "!", hash_)

    _, kept = made(store, "shop", "image.*")
    database = tmp_path / "state" / FILE
    assert kept.rpartition("_")[2].encode() not in database.read_bytes()
    assert database.stat().st_mode & 0o077 == 0


def test_a_pattern_reaches_a_family_but_no_internal_type() -> None:
    token = Token(id="1", name="n", publish=("image.*", "schedule.tick"), created=NOW)
    assert token.may_publish("image.requested", internal=False)
    assert not token.may_publish("imagery.requested", internal=False)
    assert not token.may_publish("image.processed", internal=True)
    assert token.may_publish("schedule.tick", internal=True)
    assert Token(id="1", name="n", publish=("*",), created=NOW).may_publish("order.placed", internal=False)


def test_patterns_are_names_families_or_all() -> None:
    assert all(map(is_pattern, ["*", "image.*", "a.b.*", "image.requested"]))
    assert not any(map(is_pattern, ["**", "image*", "*.requested", "image.", "Image.x", "a b", "", "image.[a]"]))


def test_a_token_is_live_until_it_expires_or_is_revoked(store: TokenStore) -> None:
    token, _ = made(store, "shop", "*", expires="1h")
    now = datetime.now(UTC)
    assert (token.state(now), token.state(now + timedelta(hours=2))) == ("live", "expired")
    assert [each.id for each in store.revoke("shop", now)] == [token.id]
    assert store.revoke("shop", now) == []
    ((kept, _),) = store.all()
    assert kept.state(now) == "revoked"
    made(store, "shop", "*")  # The name is free again.


@pytest.mark.parametrize(
    ("name", "publish", "changes", "words"),
    [
        ("", ["*"], {}, "1 to 100 printable"),
        ("shop", [], {}, "of no use"),
        ("shop", ["image.requsted"], {}, "Did you mean 'image.requested'?"),
        ("shop", ["imgae.*"], {}, "Did you mean 'image.*'?"),
        ("shop", ["*.requested"], {}, "Write image.requested"),
        ("shop", ["*"], {"expires": "soon"}, "--expires"),
        ("shop", ["*"], {"burst": 5.0}, "--rate"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    store: TokenStore, name: str, publish: list[str], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        made(store, name, *publish, **changes)


def test_two_live_tokens_have_different_names(store: TokenStore) -> None:
    made(store, "shop", "*")
    with pytest.raises(ConfigError, match="revoke that one first"):
        made(store, "shop", "*")


async def test_who_comes_without_a_token_that_holds_is_refused(call: Calls, store: TokenStore) -> None:
    _, good = made(store, "good", "*")
    _, late = made(store, "late", "*", expires="1s", now=NOW - timedelta(days=900))
    await call.gateway.tokens.read()
    for text, words in [
        ("", "isn't a token"),
        ("tmg_0123456789ab_" + "x" * 43, "isn't known"),
        (good[:-1] + ("a" if good[-1] != "a" else "b"), "isn't known"),
        (late, "expired"),
        (good * 2, "isn't a token"),
    ]:
        answer = await call("POST", "/events/image.requested", PICTURE, bearer(text))
        assert (answer.status, words in answer.json["detail"]) == (401, True), answer.json
        assert answer.headers["www-authenticate"].startswith("Bearer")
    twice = await call("POST", "/events/image.requested", PICTURE, [("authorization", f"Bearer {good}")] * 2)
    assert twice.status == 400
    assert call.publisher.events == []


async def test_a_token_may_do_what_its_scopes_say(call: Calls, store: TokenStore) -> None:
    _, text = made(store, "pictures", "image.*")
    await call.gateway.tokens.read()
    json = {**bearer(text), "content-type": "application/json"}
    assert (await call("POST", "/events/image.requested", PICTURE, json)).status == 202
    for path, words in [
        ("/events/email.requested", "may not publish email.requested; it may publish image.*"),
        ("/events/image.processed", "internal type"),
    ]:
        answer = await call("POST", path, {}, json)
        assert (answer.status, words in answer.json["detail"]) == (403, True)
    assert (await call("GET", "/jobs/x", headers=bearer(text))).status == 403
    assert (await call("GET", "/metrics")).status == 401
    assert b"tidemill_gateway_requests_total" in (await call("GET", "/metrics", headers=bearer(text))).body


async def test_a_revoked_token_is_soon_refused_and_its_use_is_noted(store: TokenStore) -> None:
    token, text = made(store, "shop", "*")
    book = TokenBook(store, every_seconds=0.02)
    await book.open()
    assert (await book.find(text)).name == "shop"
    store.revoke("shop", datetime.now(UTC))

    async def refused() -> None:
        while True:
            await book.find(text)
            await asyncio.sleep(0.01)

    with pytest.raises(Problem, match="revoked"):
        await asyncio.wait_for(refused(), 5)
    await book.close()
    ((kept, _),) = store.all()
    assert kept.last_used is not None
    assert kept.id == token.id


def test_a_rate_holds_on_average_and_a_batch_goes_into_debt() -> None:
    bucket = Bucket(rate=10, burst=20, now=0.0)
    assert bucket.wait_seconds(0.0) == 0
    bucket.take(120, 0.0)
    assert bucket.wait_seconds(0.0) == pytest.approx(10.1)
    assert bucket.wait_seconds(10.2) == 0
    bucket.take(2, 10.2)
    assert bucket.wait_seconds(10.2) > 0
    assert bucket.wait_seconds(1_000.0) == 0
    bucket.take(20, 1_000.0)
    assert bucket.wait_seconds(1_000.0) > 0


async def test_a_token_beyond_its_rate_is_told_when_to_come_again(call: Calls, store: TokenStore) -> None:
    _, text = made(store, "slow", "*", rate=0.5, burst=2.0)
    await call.gateway.tokens.read()
    headers = {**bearer(text), "content-type": "application/json"}
    answers = [await call("POST", "/events/image.requested", PICTURE, headers) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert answers[2].headers["retry-after"] == "2"


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    app = typer.Typer()
    command.register(app)
    environment = {"TIDEMILL_STATE_DIR": str(tmp_path), "COLUMNS": "200"}

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, arguments, env=environment)
        return done.exit_code, done.stdout, done.stderr

    code, _, said = run("gateway")
    assert (code, "tidemill tokens create" in said) == (1, True)
    code, _, said = run("gateway", "--open", "--host", "0.0.0.0")
    assert (code, "this machine alone" in said) == (1, True)

    create = ("tokens", "create", "--name", "shop", "--publish", "image.*", "--upload", "--rate", "50")
    assert run(*create, "--dry-run")[0] == 0
    assert run("tokens", "list")[1] == ""
    code, text, said = run(*create)
    assert (code, parts_of(text.strip()) is not None, "isn't shown again" in said) == (0, True, True)
    code, listed, _ = run("tokens", "list")
    assert all(word in listed for word in ("shop", "image.* upload", "50/s", "never"))
    assert text.strip() not in listed
    assert '"publish": [' in run("tokens", "list", "--json")[1]

    assert run("tokens", "revoke", "shop", "--dry-run")[1].startswith("would revoke")
    assert run("tokens", "revoke", "shop")[1].startswith("revoked")
    assert run("tokens", "revoke", "shop")[0] == 1
    assert "revoked" in run("tokens", "list", "--all")[1]


async def test_a_line_of_log_tells_who_did_what_and_no_secret(tmp_path: Path) -> None:
    first = TokenStore(load_settings(state_dir=tmp_path / "state"), load_gateway_settings())
    token, text = made(first, "shop", "*")
    async with calls(tmp_path, open=False, access_log=True) as call:
        with capture_logs() as logged:
            headers = {**bearer(text), "content-type": "application/json", "idempotency-key": "secret-key"}
            await call("POST", "/events/image.requested?subject=secret-subject", PICTURE, headers)
    (line,) = logged
    assert (line["method"], line["path"], line["status"], line["token"]) == (
        "POST",
        "/events/image.requested",
        202,
        token.name,
    )
    told = str(line)
    assert not any(secret in told for secret in (text, text.rpartition("_")[2], "secret", "file:///1.jpg"))


def test_a_command_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.gateway.extra.NEEDED", ("starlette", "no_such_package"))
    app = typer.Typer()
    command.register(app)
    for arguments in (["gateway"], ["tokens", "list"]):
        done = CliRunner().invoke(app, arguments, env={"TIDEMILL_STATE_DIR": str(tmp_path), "COLUMNS": "200"})
        assert (done.exit_code, "needs no_such_package" in done.stderr, "tidemill[gateway]" in done.stderr) == (
            1,
            True,
            True,
        )
