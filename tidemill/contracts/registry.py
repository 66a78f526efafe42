"""The one door to the schema registry: Confluent's API, by confluent-kafka's client.

Everything else in the library asks this module. An answer comes within about five seconds, or a `RegistryError` that
names the address. Subjects are given without the namespace of `Settings`; it is put before them here. The client (an
HTTP stack of some 100 ms to import) is made at the first question.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from tidemill.config import Settings
from tidemill.errors import ContractError, DecodeError, IncompatibleSchema, RegistryError, SchemaNotRegistered

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import RegisteredSchema, Schema, SchemaRegistryClient
    from confluent_kafka.schema_registry.error import SchemaRegistryError

T = TypeVar("T")

TIMEOUT_SECONDS = 2.0
"""For each attempt; there are two, with a pause of at most a third of a second between."""
RETRY_WAIT_MS = 300

# Confluent's error codes, docs.confluent.io, "Schema Registry API Reference", "Errors".
SUBJECT_NOT_FOUND = 40401
VERSION_NOT_FOUND = 40402
SCHEMA_NOT_FOUND = 40403
COMPATIBILITY_NOT_SET = 40408
_NOT_FOUND = {SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND, COMPATIBILITY_NOT_SET}


@dataclass(frozen=True)
class Registered:
    """One version of a subject."""

    subject: str
    version: int
    schema_id: int
    schema: dict[str, Any]


class Registry:
    """Schemas and their ids. May be shared by threads; close it, or use it as a context manager.

    Args:
        settings: `registry_url`, `registry_user`, `registry_password`, `ssl_ca_location`, `namespace`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: SchemaRegistryClient | None = None

    @property
    def url(self) -> str:
        """Address of the registry, without credentials."""
        parts = urlsplit(self._settings.registry_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def close(self) -> None:
        """Close its connections; a later question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lookup_id(self, subject: str, schema_json: str) -> int:
        """The id that a schema has under a subject.

        Raises:
            SchemaNotRegistered: The registry doesn't know this schema there.
            RegistryError: It didn't answer as it should.
        """
        return self.find(subject, schema_json).schema_id

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The Avro schema of an id, e.g. one found in an event.

        Raises:
            DecodeError: The registry knows no such id, or it isn't a self-contained Avro schema.
            RegistryError: It didn't answer as it should.
        """
        found = self._ask(lambda client: client.get_schema(schema_id))
        if found is None:
            raise DecodeError(
                f"The registry at {self.url} knows no schema with id {schema_id}.",
                hint="The bytes are not an event, or were written with another registry.",
            )
        if (found.schema_type or "AVRO") != "AVRO":
            raise DecodeError(f"Schema {schema_id} is {found.schema_type}; events are Avro.")
        if found.references:
            names = ", ".join(str(reference.name) for reference in found.references)
            raise DecodeError(
                f"Schema {schema_id} refers to other schemas ({names}); events carry self-contained ones.",
                hint="Register the schema with its types written out.",
            )
        return _avro(found.schema_str, f"Schema {schema_id}")

    def versions(self, subject: str) -> list[Registered]:
        """All versions of a subject, oldest first; empty if there is none.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        numbers = self._ask(lambda client: client.get_versions(self._settings.qualified(subject))) or []
        return [found for number in sorted(numbers) if (found := self._version(subject, number)) is not None]

    def latest(self, subject: str) -> Registered | None:
        """The last version of a subject; None if there is none.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        return self._version(subject, "latest")

    def subjects(self) -> list[str]:
        """All subjects of the namespace, without it. Also serves to see whether the registry answers.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        namespace = self._settings.namespace
        names = self._ask(lambda client: client.get_subjects(subject_prefix=namespace or None)) or []
        return sorted(name.removeprefix(namespace) for name in names if name.startswith(namespace))

    def register(self, subject: str, schema_json: str) -> Registered:
        """Register a schema; one that is registered already stays as it is.

        Raises:
            IncompatibleSchema: The registry refuses it, by the subject's compatibility level.
            ContractError: It isn't an Avro schema.
            RegistryError: It didn't answer as it should.
        """
        qualified = self._settings.qualified(subject)
        self._ask(lambda client: client.register_schema(qualified, self._schema(schema_json)), refused=subject)
        return self.find(subject, schema_json)

    def accepts(self, subject: str, schema_json: str) -> bool:
        """Whether the registry would take a schema as the subject's next version, by the level set there.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        qualified, schema = self._settings.qualified(subject), self._schema(schema_json)
        return self._ask(lambda client: client.test_compatibility_all_versions(qualified, schema)) in (None, True)

    def compatibility(self, subject: str) -> str | None:
        """The compatibility level that is set for a subject; None if it follows the registry's own.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        return self._ask(lambda client: client.get_compatibility(self._settings.qualified(subject)))

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set a subject's compatibility level, by which the registry judges later versions.

        Raises:
            RegistryError: It didn't answer as it should.
        """
        qualified = self._settings.qualified(subject)
        self._ask(lambda client: client.set_compatibility(subject_name=qualified, level=level))

    def _version(self, subject: str, number: Any) -> Registered | None:
        found = self._ask(lambda client: client.get_version(self._settings.qualified(subject), number))
        if found is None:
            return None
        label = f"Version {found.version} of {subject!r}"
        return _registered(subject, found, _avro(found.schema.schema_str, label))

    def find(self, subject: str, schema_json: str) -> Registered:
        """The version of a subject that a schema is.

        Raises:
            SchemaNotRegistered: The registry doesn't know this schema there.
            RegistryError: It didn't answer as it should.
        """
        qualified = self._settings.qualified(subject)
        found = self._ask(lambda client: client.lookup_schema(qualified, self._schema(schema_json)))
        if found is None:
            raise SchemaNotRegistered(
                f"The registry at {self.url} doesn't have this schema under {qualified!r}.",
                hint="Run `tidemill schemas register`.",
            )
        return _registered(subject, found, json.loads(schema_json))

    def _schema(self, schema_json: str) -> Schema:
        from confluent_kafka.schema_registry import Schema

        return Schema(schema_json, schema_type="AVRO")

    def _connected(self) -> SchemaRegistryClient:
        with self._lock:
            if self._client is None:
                self._client = _client(self._settings)
            return self._client

    def _ask(self, question: Callable[[SchemaRegistryClient], T], *, refused: str | None = None) -> T | None:
        """The registry's answer; None if it says that there is no such thing."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            return question(self._connected())
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                return None
            raise self._complaint(error, refused) from error
        except _http_errors("RequestError") as error:
            raise RegistryError(
                f"The schema registry at {self.url} doesn't answer: {str(error) or type(error).__name__}.",
                hint=self._start_hint(),
            ) from error
        except _http_errors("InvalidURL") as error:
            raise RegistryError(
                f"The registry's address {self.url!r} is not a URL: {error}.",
                hint="Check registry_url.",
                retriable=False,
            ) from error
        except json.JSONDecodeError as error:
            raise RegistryError(
                f"What answers at {self.url} is not a schema registry: {error}.",
                hint="Check registry_url; Apicurio's ends in /apis/ccompat/v7.",
                retriable=False,
            ) from error

    def _complaint(self, error: SchemaRegistryError, subject: str | None) -> ContractError | RegistryError:
        said = f"{error.error_message or 'nothing'}"
        said = f"{said[:300]}{'...' if len(said) > 300 else ''} (HTTP {error.http_status_code})"
        if error.http_status_code == 409 and subject is not None:
            return IncompatibleSchema(
                f"The registry at {self.url} refuses the new schema of {subject!r}: {said}.",
                hint="`tidemill schemas check` says which field and why.",
            )
        if error.http_status_code in (401, 403):
            return RegistryError(
                f"The registry at {self.url} refuses this user: {said}.",
                hint="Set registry_user and registry_password.",
                retriable=False,
            )
        if error.http_status_code == 422:
            return ContractError(f"The registry at {self.url} doesn't take this for an Avro schema: {said}.")
        if error.http_status_code == 404:
            return RegistryError(
                f"There is no schema registry at {self.url}: the address is unknown there (HTTP 404).",
                hint="Check the path of registry_url; Apicurio's ends in /apis/ccompat/v7.",
                retriable=False,
            )
        return RegistryError(f"The registry at {self.url} answers: {said}.", retriable=error.http_status_code >= 500)

    def _start_hint(self) -> str:
        host = urlsplit(self._settings.registry_url).hostname
        if host in ("127.0.0.1", "localhost", "::1"):
            return "Start it with `tidemill up`."
        return "Check registry_url and whether the registry runs."


def _http_errors(name: str) -> tuple[type[Exception], ...]:
    """Classes of errors of the HTTP library that confluent-kafka uses: httpx2, or httpx in older versions.

    Called only when an error passes, so that whichever it is has been imported by then.
    """
    return tuple(getattr(sys.modules[library], name) for library in ("httpx2", "httpx") if library in sys.modules)


def _client(settings: Settings) -> SchemaRegistryClient:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    configuration: dict[str, Any] = {
        "url": settings.registry_url,
        "timeout": TIMEOUT_SECONDS,
        "max.retries": 1,
        "retries.wait.ms": RETRY_WAIT_MS,
        "retries.max.wait.ms": RETRY_WAIT_MS,
    }
    if settings.registry_user is not None:
        password = settings.registry_password.get_secret_value() if settings.registry_password else ""
        configuration["basic.auth.user.info"] = f"{settings.registry_user}:{password}"
    if settings.ssl_ca_location is not None:
        configuration["ssl.ca.location"] = str(settings.ssl_ca_location)
    try:
        return SchemaRegistryClient(configuration)
    except (ValueError, OSError) as error:
        # OSError: the file of CA certificates; ssl.SSLError is one, too.
        raise RegistryError(
            f"The registry's settings can't be used: {error}.",
            hint="Check registry_url, registry_user, registry_password and ssl_ca_location.",
            retriable=False,
        ) from error


def _registered(subject: str, found: RegisteredSchema, schema: dict[str, Any]) -> Registered:
    if found.version is None or found.schema_id is None:
        raise RegistryError(f"The registry gave {subject!r} neither version nor id: {found!r}.", retriable=False)
    return Registered(subject, found.version, found.schema_id, schema)


def _avro(text: str | None, label: str) -> dict[str, Any]:
    try:
        schema = json.loads(text or "")
    except ValueError as error:
        raise DecodeError(f"{label} in the registry is not JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise DecodeError(f"{label} in the registry is {schema!r}; an event's schema is a record.")
    return schema
