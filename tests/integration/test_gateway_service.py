"""The gateway on a real port before a real Kafka: what is acknowledged is there, and what isn't is never said to be."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from producers.gateway.checkup import check_gateway
from producers.gateway.settings import load_gateway_settings
from producers.gateway.tokens.request import new_token
from producers.gateway.tokens.store import TokenStore, TokensUnavailable
from tests.crash.gateway_cases import CASES, Target
from tests.integration.gateway_running import Running, new_tokens, revoke_token, running_gateway
from tests.integration.postgres import Postgres
from tests.integration.working import events, paused_broker, prepare, wait_until
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import derived_id
from tidemill.events import EmailRequested, ImageRequested, Rendition
from tidemill.outbox import single_object

PICTURE: dict[str, Any] = {"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200}]}
LIMITS: dict[str, Any] = {"body_bytes": 200_000, "header_bytes": 32_768, "header_seconds": 0.2, "body_seconds": 0.2}
PATH = "/events/image.requested"


@pytest.fixture
def gateway(settings: Settings) -> Iterator[Running]:
    prepare(settings, ImageRequested)
    with running_gateway(settings) as running:
        yield running


def test_what_is_acknowledged_lies_where_the_answer_says(gateway: Running, settings: Settings) -> None:
    single = gateway("POST", PATH, PICTURE)
    lines = b"\n".join(json.dumps({**PICTURE, "source": f"file:///{n}.jpg"}).encode() for n in range(3_000))
    batch = gateway("POST", PATH, lines, Content_Type="application/x-ndjson")
    answers = [json.loads(line) for line in batch.body.splitlines()]

    assert (single.status, batch.status) == (202, 200)
    assert [answer["status"] for answer in answers] == [202] * 3_000
    found = {event.id: event for event in events(settings, ImageRequested)}
    for number, answer in enumerate(answers):
        event = found[answer["id"]]
        assert event.payload.source == f"file:///{number}.jpg"
        assert tuple(event.position)[:3] == (answer["topic"], answer["partition"], answer["offset"])
    assert found[single.json["id"]].payload == ImageRequested(
        source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)]
    )
    assert gateway("GET", "/readyz").json == {"status": "ready"}


def test_avro_is_read_by_the_schema_that_it_names(gateway: Running, settings: Settings) -> None:
    payload = ImageRequested(source="file:///a.jpg", renditions=[Rendition(name="x", height=9)])
    with Registry(settings) as registry:
        wire = Codec(registry).encode(payload)
    single = single_object.packed(ImageRequested.__contract__.schema_json, wire)

    statuses = [
        gateway("POST", PATH, body, Content_Type="application/avro").status
        for body in (wire, single, wire[:-2], wire + b"\0", b"\0\0\0\0\x63" + wire[5:], wire[5:])
    ]
    assert statuses == [202, 202, 400, 400, 400, 400]
    assert [event.payload for event in events(settings, ImageRequested)] == [payload, payload]


def test_while_the_broker_is_away_nothing_is_said_to_be_accepted(settings: Settings, stack: Any) -> None:
    prepare(settings, ImageRequested)
    with running_gateway(settings, acknowledge_seconds=0.8, waiting_bytes=1_000_000) as gateway:
        wait_until(lambda: gateway("POST", PATH, PICTURE).status == 202, "it is connected")
        large = {"source": "file:///x", "renditions": [{"name": "n" * 150_000, "width": 1}]}
        with paused_broker(stack, settings):
            began = time.monotonic()
            lost = gateway("POST", PATH, PICTURE, Idempotency_Key="k")
            assert lost.status == 503
            assert lost.json["type"] == "urn:tidemill:problem:unknown-fate"
            assert int(lost.headers["retry-after"]) >= 1
            assert time.monotonic() - began < 6
            statuses: list[tuple[int, str]] = []
            crowd = [
                threading.Thread(
                    target=lambda: statuses.append(
                        ((answer := gateway("POST", PATH, large)).status, answer.json["type"].rpartition(":")[2])
                    )
                )
                for _ in range(12)
            ]
            lines: list[int] = []
            crowd.append(threading.Thread(target=lambda: lines.extend(_statuses_of_lines(gateway))))
            for each in crowd:
                each.start()
            wait_until(lambda: any(kind == "busy" for _, kind in statuses), "what is too much is refused at once")
            assert gateway.gateway.waiting.bytes <= 1_000_000
            for each in crowd:
                each.join()
            assert {status for status, _ in statuses} == {503}
            assert lines == [503, 503]
        wait_until(lambda: gateway("POST", PATH, PICTURE, Idempotency_Key="k").status == 202, "the broker is back")
        assert gateway.gateway.waiting.bytes == 0
    # The first one, and the one that was sent again: at most twice in the topic, but always with the same id.
    ids = [event.id for event in events(settings, ImageRequested) if event.payload.source == "file:///1.jpg"]
    assert derived_id("", "gateway:image.requested:k") in ids


def test_every_attack_gets_the_answer_that_it_should(settings: Settings) -> None:
    prepare(settings, ImageRequested, EmailRequested)
    everything = {"publish": ["*"], "read_jobs": True}
    tokens = new_tokens(
        settings,
        good=everything,
        expired={**everything, "expires": "1s", "ago": timedelta(days=9)},
        revoked={**everything, "revoke": True},
        mails={"publish": ["email.requested"]},
        slow={"publish": ["*"], "rate": 0.01, "burst": 2.0},
    )
    with running_gateway(settings, open=False, **LIMITS) as gateway:
        target = Target(port=gateway.port, tokens=tokens, **LIMITS)
        found = {case.name: (case.run(target).status, case.expected) for case in CASES}
        assert gateway.gateway.waiting.bytes == 0
    assert {name: each for name, each in found.items() if each[0] not in each[1]} == {}
    assert len(found) > 50


def test_a_revoked_token_is_refused_by_a_gateway_that_runs(settings: Settings) -> None:
    prepare(settings, ImageRequested)
    (text,) = new_tokens(settings, shop={"publish": ["image.*"]}).values()
    with running_gateway(settings, open=False, token_seconds=0.1) as gateway:
        sent = {"Authorization": f"Bearer {text}"}
        assert gateway("POST", PATH, PICTURE, **sent).status == 202
        revoke_token(settings, "shop")
        wait_until(lambda: gateway("POST", PATH, PICTURE, **sent).status == 401, "it is refused", 5)


def test_gateways_on_several_machines_share_their_tokens_in_postgres(settings: Settings, postgres: Postgres) -> None:
    url = postgres.new_database()
    here, there = (TokenStore(settings, load_gateway_settings(url=url)) for _ in range(2))
    now = datetime.now(UTC)
    scopes: dict[str, Any] = {"read_jobs": True, "upload": False, "expires": "1h", "rate": 5.0, "burst": None}
    token, _, hash_ = new_token("shop", ["image.*"], now=now, **scopes)
    here.add(token, hash_)
    there.used({token.id: now})
    ((found, kept),) = there.all()
    assert (found.name, found.publish, found.rate, found.last_used is not None, kept) == (
        "shop",
        ("image.*",),
        5.0,
        True,
        hash_,
    )
    assert [each.id for each in there.revoke("shop", now)] == [token.id]
    assert here.all()[0][0].state(now) == "revoked"
    for store in (here, there):
        store.close()
    lost = TokenStore(settings, load_gateway_settings(url=url.replace(f":{postgres.port}/", ":1/")))
    with pytest.raises(TokensUnavailable, match="TIDEMILL_GATEWAY_URL"):
        lost.all()


def test_a_gateway_that_is_told_to_stop_finishes_what_it_has(settings: Settings) -> None:
    prepare(settings, ImageRequested)
    with running_gateway(settings) as gateway:
        gateway("POST", PATH, PICTURE)
        body = json.dumps(PICTURE).encode()
        half = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        half.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        wait_until(lambda: len(gateway.server.server_state.tasks) == 1, "the request is under way")
        gateway.server.stop()
        wait_until(lambda: not _listens(gateway.port), "nothing more is taken")
        half.sendall(body[10:])
        answer = half.recv(10_000)
        half.close()
    assert b" 202 " in answer[:20]
    assert len(events(settings, ImageRequested)) == 2


def _statuses_of_lines(gateway: Running) -> list[int]:
    body = b"\n".join([json.dumps(PICTURE).encode()] * 2)
    answer = gateway("POST", PATH, body, Content_Type="application/x-ndjson")
    return [json.loads(line)["status"] for line in answer.body.splitlines()]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_doctor_sees_whether_it_can_take_events(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_gateway(settings).ok is None
    prepare(settings, ImageRequested)
    new_tokens(settings, shop={"publish": ["image.*"]})
    with running_gateway(settings, open=False) as gateway:
        monkeypatch.setenv("TIDEMILL_GATEWAY_PORT", str(gateway.port))
        found = check_gateway(settings)
    assert (found.ok, found.found) == (True, f"ready at 127.0.0.1:{gateway.port}, 1 live token")
    stopped = check_gateway(settings)
    assert stopped.ok is False
    assert "Connection refused" in stopped.found
