"""Events and confluent-kafka's own Avro serializers: each reads what the other writes, through a real registry."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.generated_events import every_type
from tests.unit.test_contracts_generate import everything
from tidemill import Settings
from tidemill.codec import Codec
from tidemill.contracts.registry import Registry
from tidemill.errors import DecodeError, SchemaNotRegistered
from tidemill.events import ImageRequested, Rendition

REQUEST = ImageRequested(
    source="file:///ünï.jpg",
    renditions=[Rendition(name="thumb", width=200), Rendition(name="wide", height=3, fit="pad", format="webp")],
)


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry(settings) as registry:
        yield registry


def context(settings: Settings, contract: Any) -> SerializationContext:
    return SerializationContext(settings.qualified(contract.topic), MessageField.VALUE)


def as_json(value: object) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def test_events_of_confluents_serializer_are_read(
    settings: Settings, registry: Registry, confluent: SchemaRegistryClient
) -> None:
    contract = ImageRequested.__contract__
    serialize = AvroSerializer(confluent, contract.schema_json, lambda event, _: event.to_record())
    value = serialize(REQUEST, context(settings, contract))
    assert Codec(registry).decode(value, ImageRequested) == REQUEST


def test_our_events_are_read_by_confluents_deserializer(
    settings: Settings, registry: Registry, confluent: SchemaRegistryClient
) -> None:
    contract = ImageRequested.__contract__
    registry.register(contract.subject, contract.schema_json)
    value = Codec(registry).encode(REQUEST)
    read = AvroDeserializer(confluent, contract.schema_json)(value, context(settings, contract))
    assert read == REQUEST.to_record()


def test_both_write_the_same_bytes(settings: Settings, registry: Registry, confluent: SchemaRegistryClient) -> None:
    contract = ImageRequested.__contract__
    serialize = AvroSerializer(confluent, contract.schema_json, lambda event, _: event.to_record())
    assert serialize(REQUEST, context(settings, contract)) == Codec(registry).encode(REQUEST)


def test_every_logical_type_goes_both_ways(
    settings: Settings, registry: Registry, confluent: SchemaRegistryClient, tmp_path: Path
) -> None:
    module = every_type(tmp_path)
    event = everything(module)
    contract = module.EverythingHappened.__contract__
    serialize = AvroSerializer(confluent, contract.schema_json, lambda event, _: event.to_record())
    codec = Codec(registry)
    assert codec.decode(serialize(event, context(settings, contract)), module.EverythingHappened) == event
    read = AvroDeserializer(confluent, contract.schema_json)(codec.encode(event), context(settings, contract))
    assert as_json(read) == as_json(event.to_record())


def test_a_newer_version_that_another_program_registered_is_read(
    settings: Settings, registry: Registry, confluent: SchemaRegistryClient
) -> None:
    contract = ImageRequested.__contract__
    registry.register(contract.subject, contract.schema_json)
    newer = json.loads(contract.schema_json)
    newer["fields"].append({"name": "priority", "type": "int", "default": 0})
    serialize = AvroSerializer(confluent, json.dumps(newer))
    value = serialize({**REQUEST.to_record(), "priority": 9}, context(settings, contract))
    assert Codec(registry).decode(value, ImageRequested) == REQUEST


def test_an_id_that_the_registry_does_not_know_is_a_decode_error(registry: Registry) -> None:
    garbage = b"\x00\x7f\xff\xff\xff" + random.Random(7).randbytes(40)
    with pytest.raises(DecodeError, match="2147483647") as caught:
        Codec(registry).decode(garbage, ImageRequested)
    assert not caught.value.retriable


def test_a_schema_that_is_not_registered_is_named_with_the_next_step(registry: Registry) -> None:
    with pytest.raises(SchemaNotRegistered, match=r"image\.requested-value.*`tidemill schemas register`"):
        Codec(registry).encode(REQUEST)
