"""All event types that this installation knows: those of every package with an entry point in `tidemill.events`.

An entry point's value is the name of a generated module; its `EVENT_TYPES` are taken. Imports those modules; reads no
schema file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from tidemill.contracts.contract import Payload
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ContractError, UnknownEventType

GROUP = "tidemill.events"


class Catalogue:
    """Event classes by type and by topic.

    Args:
        classes: Generated event classes; one that is given twice counts once.

    Raises:
        ContractError: Two classes stand for the same type or topic; both are named.
    """

    def __init__(self, classes: Iterable[type[Payload]]) -> None:
        self._by_type: dict[str, type[Payload]] = {}
        self._by_topic: dict[str, type[Payload]] = {}
        for cls in classes:
            contract = cls.__contract__
            _add(self._by_type, "event type", contract.type, cls)
            _add(self._by_topic, "topic", contract.topic, cls)

    def __iter__(self) -> Iterator[type[Payload]]:
        """The classes, sorted by event type."""
        return (self._by_type[name] for name in sorted(self._by_type))

    def __len__(self) -> int:
        return len(self._by_type)

    def by_type(self, name: str) -> type[Payload]:
        """The class of an event type, e.g. `image.requested`.

        Raises:
            UnknownEventType: No contract has this name.
        """
        return _get(self._by_type, "event type", name)

    def by_topic(self, topic: str) -> type[Payload]:
        """The class of the events in a topic; the topic's name is without the namespace.

        Raises:
            UnknownEventType: No contract has this topic.
        """
        return _get(self._by_topic, "topic", topic)


@cache
def installed_events() -> Catalogue:
    """The catalogue of this installation; read once.

    Raises:
        ContractError: A module can't be imported, is no generated module, or two modules define the same event type.
    """
    modules = sorted({entry.value for entry in entry_points(group=GROUP)})
    return Catalogue(cls for module in modules for cls in _event_types(module))


def _event_types(module: str) -> tuple[type[Payload], ...]:
    try:
        loaded = import_module(module)
    except ImportError as error:
        raise ContractError(
            f"Events module {module!r} can't be imported: {error}.",
            hint=f"It is named by an entry point of group {GROUP!r}; install its package again.",
        ) from error
    types: tuple[type[Payload], ...] | None = getattr(loaded, "EVENT_TYPES", None)
    if types is None:
        raise ContractError(
            f"Module {module!r} has no EVENT_TYPES, so it isn't a generated events module.",
            hint=f"Generate it with `tidemill schemas generate`, or mend the entry point of group {GROUP!r}.",
        )
    return types


def _add(classes: dict[str, type[Payload]], what: str, name: str, cls: type[Payload]) -> None:
    other = classes.setdefault(name, cls)
    if other is not cls:
        raise ContractError(
            f"Two classes stand for {what} {name!r}: "
            f"{other.__module__}.{other.__qualname__} and {cls.__module__}.{cls.__qualname__}.",
            hint="Rename one contract, or uninstall one of the packages.",
        )


def _get(classes: dict[str, type[Payload]], what: str, name: str) -> type[Payload]:
    try:
        return classes[name]
    except KeyError as error:
        hint = did_you_mean(name, classes) or "`tidemill schemas list` shows all that are installed."
        raise UnknownEventType(f"No installed contract has the {what} {name!r}.", hint=hint) from error
