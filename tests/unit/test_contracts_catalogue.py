"""Event classes are found by type and by topic, whichever package brings them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from tidemill.contracts import catalogue
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.errors import ContractError, UnknownEventType
from tidemill.events import ImageProcessed, ImageRequested


def test_the_events_of_this_package_are_installed() -> None:
    events = installed_events()

    assert events.by_type("image.requested") is ImageRequested
    assert events.by_topic("image.processed") is ImageProcessed
    assert [cls.__contract__.type for cls in events] == sorted(cls.__contract__.type for cls in events)
    assert len(events) == len(list(events))


def test_an_unknown_type_is_an_error_with_a_guess() -> None:
    events = Catalogue([ImageRequested, ImageProcessed])

    with pytest.raises(
        UnknownEventType, match=r"has the event type 'image.request'\. Did you mean 'image.requested'\?"
    ):
        events.by_type("image.request")
    with pytest.raises(UnknownEventType, match=r"has the topic 'mail'\. `tidemill schemas list` shows all"):
        events.by_topic("mail")


def test_two_classes_of_one_type_are_refused_by_name() -> None:
    class Other(ImageRequested):
        pass

    with pytest.raises(
        ContractError,
        match=r"Two classes stand for event type 'image.requested': tidemill.events.ImageRequested and .*Other\.",
    ):
        Catalogue([ImageRequested, Other])


def test_two_types_of_one_topic_are_refused() -> None:
    class Other(ImageRequested):
        __contract__ = dataclasses.replace(ImageRequested.__contract__, type="image.wanted")

    with pytest.raises(ContractError, match=r"Two classes stand for topic 'image.requested'"):
        Catalogue([ImageRequested, Other])


def test_a_class_that_is_found_twice_counts_once() -> None:
    assert len(Catalogue([ImageRequested, ImageRequested])) == 1


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ("no_such_events", r"Events module 'no_such_events' can't be imported: No module named .* entry point"),
        ("empty_events", r"Module 'empty_events' has no EVENT_TYPES, so it isn't a generated events module"),
    ],
)
def test_a_broken_entry_point_is_an_error_that_names_it(
    module: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "empty_events", ModuleType("empty_events"))
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [EntryPoint("x", module, group)])
    installed_events.cache_clear()

    with pytest.raises(ContractError, match=complaint):
        installed_events()


def test_importing_events_loads_nothing_heavy() -> None:
    heavy = "{'fastavro', 'pydantic', 'confluent_kafka', 'avro', 'faust', 'tidemill.contracts.rules'}"
    code = f"import sys, tidemill.events; print(sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout == "[]\n"
