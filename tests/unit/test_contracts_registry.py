"""A registry that is away, silent, or something else becomes one clear error, soon."""

from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tidemill.config import Settings, load_settings
from tidemill.contracts.registry import Registry
from tidemill.errors import ContractError, DecodeError, IncompatibleSchema, RegistryError, SchemaNotRegistered
from tidemill.events import ImageRequested

CONTRACT = ImageRequested.__contract__
Answer = Callable[..., tuple[int, object]]


@contextmanager
def answering(answer: Answer) -> Iterator[Settings]:
    """A server that answers each request as told: (path, authorization) -> (status, JSON data or raw text)."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answer(self.path, self.headers.get("Authorization"))
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = reply  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield load_settings(registry_url=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lookup(settings: Settings) -> Any:
    with Registry(settings) as registry:
        return registry.lookup_id(CONTRACT.subject, CONTRACT.schema_json)


def error_of(settings: Settings) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        lookup(settings)
    return caught.value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_local_registry_that_is_away_says_how_to_start_it() -> None:
    port = free_port()
    began = time.monotonic()

    error = error_of(load_settings(registry_url=f"http://127.0.0.1:{port}/apis/ccompat/v7"))

    assert f"http://127.0.0.1:{port}/apis/ccompat/v7 doesn't answer: " in str(error)
    assert "Connection refused" in str(error)
    assert error.hint == "Start it with `tidemill up`."
    assert error.retriable
    assert time.monotonic() - began < 5


def test_a_registry_that_never_answers_is_given_up_within_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()

        error = error_of(load_settings(registry_url=f"http://127.0.0.1:{silent.getsockname()[1]}"))

    assert "doesn't answer: timed out" in str(error)
    assert error.retriable
    assert 2 < time.monotonic() - began < 6


def test_a_registry_elsewhere_is_not_started_with_up() -> None:
    error = error_of(load_settings(registry_url="http://registry.invalid:8081"))

    assert error.hint == "Check registry_url and whether the registry runs."


def test_a_registry_with_a_passing_fault_is_asked_again() -> None:
    answers = iter([(503, {"error_code": 50001, "message": "busy"}), (200, {"id": 7, "version": 1, "schema": "{}"})])

    with answering(lambda *_: next(answers)) as settings:
        assert lookup(settings) == 7


def test_a_registry_that_keeps_failing_is_an_error_that_may_pass() -> None:
    with answering(lambda *_: (500, {"error_code": 50001, "message": "store is broken"})) as settings:
        error = error_of(settings)

    assert "answers: store is broken (HTTP 500)." in str(error)
    assert error.retriable


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (
            401,
            {"error_code": 401, "message": "Unauthorized"},
            "refuses this user: Unauthorized (HTTP 401). Set registry_",
        ),
        (403, {"error_code": 403, "message": "Forbidden"}, "refuses this user: Forbidden (HTTP 403)."),
        (404, "<html>not here</html>", "There is no schema registry at http://127.0.0.1:"),
        (404, {"detail": "No such path"}, "Apicurio's ends in /apis/ccompat/v7."),
        (200, "<html>hello</html>", "is not a schema registry: Expecting value"),
        (400, {"error_code": 400, "message": "x" * 1000}, "answers: " + "x" * 300 + "... (HTTP 400)."),
    ],
)
def test_what_can_not_pass_by_itself_is_not_retriable(status: int, body: object, complaint: str) -> None:
    with answering(lambda *_: (status, body)) as settings:
        error = error_of(settings)

    assert complaint in str(error)
    assert not error.retriable


def test_an_answer_without_an_id_is_an_error() -> None:
    with answering(lambda *_: (200, {"subject": "x"})) as settings:
        assert "neither version nor id" in str(error_of(settings))


@pytest.mark.parametrize("code", [40401, 40403])
def test_an_unregistered_schema_says_how_to_register_it(code: int) -> None:
    with (
        answering(lambda *_: (404, {"error_code": code, "message": "not found"})) as settings,
        pytest.raises(SchemaNotRegistered, match=r"under 'image.requested-value'\. Run `tidemill schemas register`\."),
    ):
        lookup(settings)


def test_a_refused_schema_points_to_the_check() -> None:
    with (
        answering(lambda *_: (409, {"error_code": 409, "message": "READER_FIELD_MISSING"})) as settings,
        Registry(settings) as registry,
        pytest.raises(IncompatibleSchema, match=r"READER_FIELD_MISSING.*`tidemill schemas check` says which field"),
    ):
        registry.register(CONTRACT.subject, CONTRACT.schema_json)


def test_what_is_not_avro_is_the_contracts_fault() -> None:
    with (
        answering(lambda *_: (422, {"error_code": 42201, "message": "no"})) as settings,
        Registry(settings) as registry,
        pytest.raises(ContractError, match=r"doesn't take this for an Avro schema: no \(HTTP 422\)"),
    ):
        registry.register(CONTRACT.subject, "{}")


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (404, {"error_code": 40403, "message": "not found"}, r"knows no schema with id 5\. The bytes are not an event"),
        (200, {"schema": "{}", "schemaType": "PROTOBUF"}, r"Schema 5 is PROTOBUF; events are Avro\."),
        (200, {"schema": '"string"'}, r"Schema 5 in the registry is 'string'; an event's schema is a record\."),
        (200, {"schema": "{"}, r"Schema 5 in the registry is not JSON"),
        (
            200,
            {"schema": "{}", "references": [{"name": "x.Part", "subject": "part", "version": 1}]},
            r"refers to other schemas \(x.Part\)",
        ),
    ],
)
def test_an_id_without_a_usable_schema_can_not_be_decoded(status: int, body: object, complaint: str) -> None:
    with (
        answering(lambda *_: (status, body)) as settings,
        Registry(settings) as registry,
        pytest.raises(DecodeError, match=complaint),
    ):
        registry.schema_by_id(5)


def test_a_schema_is_fetched_once() -> None:
    asked: list[str] = []

    def answer(path: str, _: str | None) -> tuple[int, object]:
        asked.append(path)
        return 200, {"schema": CONTRACT.schema_json, "schemaType": "AVRO"}

    with answering(answer) as settings, Registry(settings) as registry:
        assert registry.schema_by_id(5) == registry.schema_by_id(5) == CONTRACT.schema

    assert len(asked) == 1


def test_the_namespace_is_put_before_subjects() -> None:
    asked: list[str] = []

    def answer(path: str, _: str | None) -> tuple[int, object]:
        asked.append(path)
        return 200, ["staging.a-value", "b-value"]

    with (
        answering(answer) as settings,
        Registry(settings.model_copy(update={"namespace": "staging."})) as registry,
    ):
        assert registry.subjects() == ["a-value"]

    assert "subjectPrefix=staging." in asked[0]


def test_credentials_are_sent_but_never_shown() -> None:
    sent: list[str | None] = []

    def answer(path: str, authorization: str | None) -> tuple[int, object]:
        sent.append(authorization)
        return 401, {"error_code": 401, "message": "no"}

    with answering(answer) as settings:
        in_url = {"registry_url": settings.registry_url.replace("http://", "http://joe:secret@")}
        in_fields = {"registry_user": "joe", "registry_password": SecretStr("secret")}
        said = [str(error_of(settings.model_copy(update=update))) for update in (in_url, in_fields)]

    assert sent == ["Basic " + b64encode(b"joe:secret").decode()] * 2
    assert not any("secret" in each or "joe" in each for each in said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"registry_url": "ftp://127.0.0.1"},
        {"ssl_ca_location": Path("/no/such/file.pem")},
        {"registry_url": "http://a:b@127.0.0.1", "registry_user": "c"},
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict[str, Any]) -> None:
    error = error_of(load_settings(**wrong))

    assert "The registry's settings can't be used: " in str(error)
    assert not error.retriable


def test_an_address_that_is_no_url_is_an_error() -> None:
    error = error_of(load_settings(registry_url="http://127.0.0.1:port/"))

    assert "The registry's address 'http://127.0.0.1:port/' is not a URL: " in str(error)
    assert not error.retriable


def test_threads_share_one_registry() -> None:
    with (
        answering(lambda *_: (200, {"id": 7, "version": 1})) as settings,
        Registry(settings) as registry,
    ):
        ids: list[int] = []
        threads = [
            threading.Thread(target=lambda: ids.append(registry.lookup_id(CONTRACT.subject, CONTRACT.schema_json)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert ids == [7] * 8
