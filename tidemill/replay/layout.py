"""Which columns a scan gives, and which it has to make for that. Computes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidemill.contracts.faults import did_you_mean
from tidemill.contracts.schema import Record
from tidemill.decoder import WriterSchema
from tidemill.errors import ConfigError
from tidemill.replay.arrow_types import arrow_type
from tidemill.replay.envelope import EVERY, FROM_HEADERS, USUAL, envelope_type
from tidemill.replay.extras import need
from tidemill.replay.query import Query


@dataclass(frozen=True)
class Layout:
    """Columns by name, in order."""

    payload: tuple[str, ...]
    """Fields that are decoded."""
    envelope: tuple[str, ...]
    """Columns that are made of the rest of the messages."""
    shown: tuple[str, ...]
    """What the scan gives."""
    made: Any
    """The Arrow schema of payload and envelope."""
    schema: Any
    """The Arrow schema of what is shown."""

    @property
    def needs_headers(self) -> bool:
        """Whether messages have to be kept for their headers."""
        return any(name in FROM_HEADERS for name in self.envelope)


def names_only_envelope(query: Query) -> bool:
    """Whether a query can be answered without a schema."""
    return query.where is None and query.columns is not None and all(name in EVERY for name in query.columns)


def make_layout(query: Query, reader: WriterSchema | None) -> Layout:
    """The layout of a query.

    Args:
        query: Columns and condition.
        reader: The schema of the events; None where the query needs none.

    Raises:
        ConfigError: A column doesn't exist.
    """
    pa = need("pyarrow", "reading topics as tables")
    types = {}
    if reader is not None:
        assert isinstance(reader.type, Record)  # WriterSchema takes no other
        types = {field.name: field.type for field in reader.type.fields}
    # A field of the payload that has such a name itself comes first.
    others = [name for name in EVERY if name not in types]
    usual = [name for name in USUAL if name in others]
    shown = _shown(query, [*types], usual, others)
    needed = list(shown)
    if query.where is not None:
        said = str(query.where)
        needed += [*types, *usual, *(name for name in others if name in said)]
    needed = list(dict.fromkeys(needed))
    payload = tuple(name for name in needed if name in types)
    envelope = tuple(name for name in needed if name not in types)
    fields = {name: pa.field(name, arrow_type(types[name])) for name in payload}
    fields |= {name: pa.field(name, envelope_type(name)) for name in envelope}
    made = pa.schema(list(fields.values()))
    return Layout(payload, envelope, shown, made, pa.schema([fields[name] for name in shown]))


def _shown(query: Query, payload: list[str], usual: list[str], others: list[str]) -> tuple[str, ...]:
    if query.columns is None:
        return (*payload, *usual)
    shown: list[str] = []
    for name in query.columns:
        if name == "*":
            shown += payload
        elif name in payload or name in others:
            shown.append(name)
        else:
            known = [*payload, *others]
            raise ConfigError(
                f"Topic {query.topic!r} has no column {name!r}.",
                hint=did_you_mean(name, known) or f"It has {', '.join(known)}.",
            )
    if not shown:
        raise ConfigError("No columns are asked for.", hint='Name some, or "*" for those of the payload.')
    return tuple(dict.fromkeys(shown))
