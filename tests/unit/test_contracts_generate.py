"""The generated module: right for every type of Avro, and laid out as the formatter would."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import fastavro
import pytest

import tidemill.events
from tests.generated_events import load_module
from tidemill.contracts import Contract
from tidemill.contracts.folder import ContractFile, read_contracts, read_folder
from tidemill.contracts.generate import render_module
from tidemill.errors import ContractError, InvalidEvent

ROOT = Path(__file__).parent.parent.parent
EVERY_TYPE = Path(__file__).parent / "contracts_every_type"
ID = UUID("0191d3a2-7c1e-7aaa-8bbb-0123456789ab")
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module for a contract with every type."""
    yield load_module(render_module(read_folder(EVERY_TYPE)), tmp_path_factory.mktemp("generated"), "every_type_events")
    del sys.modules["every_type_events"]


def everything(generated: ModuleType) -> Any:
    """An event with a value in every field that has no default."""
    part = generated.Part(name="bolt", weight=Decimal("0.125"))
    return generated.EverythingHappened(
        id=ID,
        text="naïve ☃",
        int=-(2**31),
        long=2**63 - 1,
        float=0.1,
        single=0.5,
        yes=True,
        bytes=b"\x00\xff",
        digest=b"abcd",
        price=Decimal("-1234567.89"),
        share=Decimal("0.1250"),
        date=date(2024, 2, 29),
        time=time(23, 59, 59, 999_000),
        time_micros=time(0, 0, 0, 1),
        datetime=MOMENT,
        at_millis=MOMENT.replace(microsecond=999_000),
        local=MOMENT.replace(tzinfo=None),
        local_millis=datetime(1969, 12, 31, 23, 59, 59, 1_000),
        colour="green",
        list=["a", ""],
        dict={"then": MOMENT},
        maybe=None,
        part=part,
        maybe_part=part,
        parts=[part, generated.Part(name="nut")],
        maybe_parts=[None, part],
        parts_by_name={"bolt": part},
        shelves={"left": [part], "right": []},
        tree=generated.Tree(
            label="root",
            children=[generated.Tree(label="leaf")],
            twin=generated.Tree(label="twin", children=[generated.Tree(label="leaf")]),
        ),
    )


def through_avro(event: Any) -> Any:
    """Encode an event with fastavro and decode it again."""
    schema = fastavro.parse_schema(event.__contract__.schema)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, event.to_record(), strict=True)
    buffer.seek(0)
    return type(event).from_record(fastavro.schemaless_reader(buffer, schema, None))


def test_every_type_survives_the_way_through_avro(generated: ModuleType) -> None:
    event = everything(generated)

    read = through_avro(event)

    assert read == event
    assert {f.name: type(getattr(read, f.name)) for f in dataclasses.fields(read)} == {
        f.name: type(getattr(event, f.name)) for f in dataclasses.fields(event)
    }
    assert type(read.parts[1]) is generated.Part
    assert type(read.maybe_parts[1]) is generated.Part
    assert type(read.parts_by_name["bolt"]) is generated.Part
    assert type(read.shelves["left"][0]) is generated.Part
    assert type(read.tree.twin.children[0]) is generated.Tree


def test_encoding_leaves_the_event_as_it_was(generated: ModuleType) -> None:
    event = everything(generated)

    event.to_record()["parts"].clear()

    assert event == everything(generated)


def test_defaults_are_values_of_the_fields_types(generated: ModuleType) -> None:
    event = everything(generated)

    assert event.text_default == 'it\'s "quoted" \\ and\nbroken'
    assert event.long_text_default.startswith("a text that is so long")
    assert event.long_text_default.endswith("before it")
    assert event.float_default == 1.0
    assert type(event.float_default) is float
    assert event.bytes_default == b"\xff\"'\\\n"
    assert event.uuid_default == UUID("0191d3a2-7c1e-7000-8000-000000000000")
    assert event.decimal_default == Decimal("12.34")
    assert event.date_default == date(2024, 1, 1)
    assert event.time_default == time(1, 2, 3, 4)
    assert event.moment_default == datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert event.local_default == datetime(2024, 1, 1)
    assert event.colour_default == "green"
    assert event.list_default == ["a", "b"]
    assert event.dict_default == {"one": 1}
    assert len(event.long_list_default) == 4
    assert event.part_default == generated.Part(name="bolt")
    assert [part.name for part in event.parts_default] == ["nut", "a washer of a rather large diameter"]
    assert event.not_null_default == 5
    assert event.maybe_default is None


def test_a_mutable_default_is_made_anew_for_each_event(generated: ModuleType) -> None:
    everything(generated).list_default.append("c")
    everything(generated).long_list_default.clear()

    assert everything(generated).list_default == ["a", "b"]
    assert len(everything(generated).long_list_default) == 4


def test_a_field_without_a_default_is_required(generated: ModuleType) -> None:
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'name'"):
        generated.Part()


def test_events_are_frozen(generated: ModuleType) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        everything(generated).text = "other"


def test_events_cross_process_borders(generated: ModuleType) -> None:
    event = everything(generated)

    assert pickle.loads(pickle.dumps(event)) == event


def test_annotations_can_be_resolved_though_fields_are_named_like_types(generated: ModuleType) -> None:
    hints = typing.get_type_hints(generated.EverythingHappened)

    assert hints["date"] is date
    assert hints["text"] is str
    assert hints["datetime"] is datetime
    assert hints["price"] is Decimal
    assert hints["maybe"] == UUID | None
    assert hints["list"] == list[str]
    assert hints["dict"] == dict[str, datetime]
    assert hints["colour"] == typing.Literal["red", "green"]
    assert hints["maybe_part"] == generated.Part | None


def test_docs_of_the_contract_become_docstrings(generated: ModuleType) -> None:
    doc = generated.EverythingHappened.__doc__

    assert 'A doc with a \\ backslash, three quotes """ and, at its end, a "quote"' in " ".join(doc.split())
    assert "topic `everything.happened`, keyed by `id`" in doc
    assert generated.Part.__doc__ == "A part."


def test_the_class_carries_its_contract(generated: ModuleType) -> None:
    contract = generated.EverythingHappened.__contract__

    (file,) = read_folder(EVERY_TYPE)
    assert contract == file.contract
    assert contract == Contract.from_schema(contract.schema, origin="the class")
    assert (contract.type, contract.topic, contract.key) == ("everything.happened", "everything.happened", "id")
    assert (contract.partitions, contract.retention) == (3, timedelta(seconds=90))
    assert (contract.cleanup, contract.compatibility) == ("compact,delete", "FULL_TRANSITIVE")
    assert (contract.dead_topic, contract.subject) == ("everything.happened.dead", "everything.happened-value")
    assert (generated.EverythingHappened,) == generated.EVENT_TYPES


def test_the_key_is_the_key_fields_value_as_text(generated: ModuleType) -> None:
    event = everything(generated)

    assert event.__contract__.key_of(event) == str(ID)


def test_an_event_without_its_key_has_no_key() -> None:
    contract = tidemill.events.ImageRequested.__contract__
    unkeyed = dataclasses.replace(contract, key=None)
    event = tidemill.events.ImageRequested(source="file:///a.jpg", renditions=[])

    assert contract.key_of(event) == "file:///a.jpg"
    assert unkeyed.key_of(event) is None
    with pytest.raises(InvalidEvent, match="field 'source' must be set, because it is the key, found None"):
        contract.key_of(dataclasses.replace(event, source=None))  # type: ignore[arg-type]


def test_a_flat_event_is_decoded_and_encoded_without_a_copy(generated: ModuleType) -> None:
    record: dict[str, Any] = {"name": "bolt", "weight": None}

    part = generated.Part.from_record(record)

    assert part.to_record() is record
    assert part == generated.Part(name="bolt")


@pytest.mark.parametrize("folder", [EVERY_TYPE, ROOT / "schemas"])
def test_the_module_needs_no_formatter_and_no_linter(folder: Path, tmp_path: Path) -> None:
    module = tmp_path / "events.py"
    module.write_text(render_module(read_folder(folder)), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), str(module)]

    formatted = subprocess.run([*ruff, "format", "--diff", *options], capture_output=True, text=True, check=False)
    linted = subprocess.run([*ruff, "check", *options], capture_output=True, text=True, check=False)

    assert (formatted.stdout, formatted.returncode) == ("", 0)
    assert linted.returncode == 0, linted.stdout


def test_the_module_passes_strict_type_checking(tmp_path: Path) -> None:
    (tmp_path / "events.py").write_text(render_module(read_folder(EVERY_TYPE)), encoding="utf-8")

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "events.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert checked.returncode == 0, checked.stdout


def test_the_module_is_the_same_whatever_the_order_and_layout_of_the_contracts() -> None:
    texts = {path.name: path.read_bytes() for path in (ROOT / "schemas").glob("*.avsc")}
    compact = {name: text.replace(b"\n", b" ") for name, text in reversed(texts.items())}

    one = render_module(read_contracts(texts, subject="one"))
    other = render_module(list(reversed(read_contracts(compact, subject="other"))))

    assert one == other


def test_the_events_module_of_this_repository_is_up_to_date() -> None:
    generated = render_module(read_folder(ROOT / "schemas"))

    assert (ROOT / "tidemill" / "events.py").read_text(encoding="utf-8") == generated, "run: tidemill schemas generate"


def named(event: str, fields: list[dict[str, Any]], **more: Any) -> ContractFile:
    schema = {"type": "record", "name": event, "tidemill": {}, "fields": fields, **more}
    file = re.sub(r"(?<!^)(?=[A-Z])", ".", event).lower() + ".avsc"
    (read,) = read_contracts({file: json.dumps(schema).encode()}, subject=file)
    return read


def test_a_type_that_two_contracts_define_alike_becomes_one_class(tmp_path: Path) -> None:
    size = {"type": "record", "name": "Size", "fields": [{"name": "width", "type": "int"}]}
    one = named("BoxMade", [{"name": "size", "type": size}])
    other = named("BoxSold", [{"name": "size", "type": {**size, "doc": "Docs may differ."}}])

    module = load_module(render_module([one, other]), tmp_path, "shared_events")

    assert module.BoxMade.from_record({"size": {"width": 1}}).size == module.Size(width=1)
    assert module.BoxSold.from_record({"size": {"width": 1}}).size == module.Size(width=1)
    del sys.modules["shared_events"]


def test_two_different_types_of_one_name_are_refused() -> None:
    one = named("BoxMade", [{"name": "size", "type": {"type": "enum", "name": "Size", "symbols": ["s", "m"]}}])
    other = named("BoxSold", [{"name": "size", "type": {"type": "enum", "name": "Size", "symbols": ["s", "xl"]}}])

    with pytest.raises(ContractError, match=r"box.sold.avsc: Size differs from the Size in box.made.avsc\."):
        render_module([one, other])


def test_an_event_without_fields_is_possible(tmp_path: Path) -> None:
    module = load_module(render_module([named("DayBegan", [])]), tmp_path, "empty_events")

    assert through_avro(module.DayBegan()) == module.DayBegan()
    del sys.modules["empty_events"]
