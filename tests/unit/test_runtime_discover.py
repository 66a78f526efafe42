"""Finding streams by name, and what is said where that fails."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.integration.steps import StepAsked
from tidemill import Event, StreamError, stream
from tidemill.runtime import discover
from tidemill.runtime.discover import installed_streams, load_streams


@stream("step.asked")
async def count(event: Event[StepAsked]) -> None: ...


@stream("step.asked", name="count")
async def count_again(event: Event[StepAsked]) -> None: ...


COUNT, COUNT_AGAIN = f"{__name__}:count", f"{__name__}:count_again"


def install(monkeypatch: pytest.MonkeyPatch, **points: str | list[str]) -> None:
    """Let these, and no others, be the entry points of installed packages."""
    values = {name: [value] if isinstance(value, str) else value for name, value in points.items()}
    found = [EntryPoint(name, value, discover.GROUP) for name, some in values.items() for value in some]
    monkeypatch.setattr(discover, "entry_points", lambda group: [point for point in found if point.group == group])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module `shop_<test>` that can be imported; a test writes its code to `tmp_path`."""
    monkeypatch.syspath_prepend(tmp_path)
    return f"shop_{abs(hash(request.node.nodeid))}"


def refusal(*names: str) -> StreamError:
    with pytest.raises(StreamError) as refused:
        load_streams(names)
    return refused.value


def test_a_stream_is_found_by_its_entry_point_or_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, count=COUNT)
    assert load_streams(["count"]) == load_streams([COUNT]) == [count]


def test_the_same_stream_named_twice_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, count=COUNT)
    assert load_streams(["count", "count", COUNT]) == [count]


def test_the_streams_that_come_along_are_installed() -> None:
    assert "image" in installed_streams()


def test_an_unknown_name_is_answered_with_what_might_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, invoices=COUNT, count=COUNT)
    error = refusal("cuont")
    assert error.message == "There is no stream 'cuont'. Did you mean 'count'?"
    assert (error.hint or "").startswith("Installed are: count, invoices.")


def test_an_unknown_name_like_no_other_gets_no_wild_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    error = refusal("payroll")
    assert error.message == "There is no stream 'payroll'."
    assert (error.hint or "").startswith("Installed are: none.")


def test_two_packages_with_a_stream_of_one_name_are_both_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, count=["shop.streams:count", "bank.streams:count"])
    assert refusal("count").message == "Two streams are named 'count': shop.streams:count and bank.streams:count."


def test_a_package_that_is_found_twice_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    # As with an editable install beside its own build.
    install(monkeypatch, count=[COUNT, COUNT])
    assert load_streams(["count"]) == [count]


def test_two_streams_of_one_group_are_refused_wherever_they_come_from() -> None:
    error = refusal(COUNT, COUNT_AGAIN)
    assert error.message == f"Two streams are named 'count': {COUNT} and {COUNT_AGAIN}."
    assert "each get half of the events" in (error.hint or "")


@pytest.mark.parametrize("name", [":count", "shop.streams:", ":"])
def test_half_a_reference_is_refused(name: str) -> None:
    error = refusal(name)
    assert error.message == f"{name!r} doesn't name a stream."
    assert error.hint == "Write it as module:attribute."


def test_a_missing_module_is_named() -> None:
    error = refusal("no_such_shop.streams:count")
    assert error.message == "no_such_shop.streams:count can't be imported: No module named 'no_such_shop'."
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_module_that_needs_what_is_not_installed_says_what(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("import no_such_library\n", encoding="utf-8")
    error = refusal(f"{module}:count")
    assert "No module named 'no_such_library'" in error.message
    assert "Install what it needs" in (error.hint or "")


@pytest.mark.parametrize(
    ("code", "says"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("def", "SyntaxError"), ("from os import nope", "ImportError")],
)
def test_a_module_that_fails_while_it_is_imported_says_how_to_see_it(
    module: str, tmp_path: Path, code: str, says: str
) -> None:
    (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    error = refusal(f"{module}:count")
    assert says in error.message
    assert error.hint == f"Try `python -c 'import {module}'`."


def test_a_declaration_that_is_refused_speaks_for_itself(module: str, tmp_path: Path) -> None:
    code = "from tidemill import stream\n@stream('step.asked', order='often')\ndef count(event): ...\n"
    (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    assert refusal(f"{module}:count").message == f"{module}:count: order must be 'key' or 'none', found 'often'."


def test_a_missing_attribute_is_answered_with_the_streams_of_the_module() -> None:
    error = refusal(f"{__name__}:coutn")
    assert error.message == f"Module {__name__!r} has no 'coutn'. Did you mean 'count'?"
    assert error.hint == "Its streams are: count, count_again."


def test_a_module_without_streams_says_so() -> None:
    error = refusal("tidemill.errors:nothing")
    assert error.message == "Module 'tidemill.errors' has no 'nothing'."
    assert error.hint == "Its streams are: none."


@pytest.mark.parametrize(
    ("name", "kind"), [("tidemill.errors:Reject", "type"), ("tidemill:__all__", "list"), ("math:pi", "float")]
)
def test_what_is_no_stream_is_refused_with_what_it_is(name: str, kind: str) -> None:
    error = refusal(name)
    assert error.message == f"{name} is a {kind}, not a stream."
    assert error.hint == "Decorate a function with @stream(...)."


def test_an_entry_point_that_leads_nowhere_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, count=f"{__name__}:gone")
    assert f"Module {__name__!r} has no 'gone'" in refusal("count").message
