"""Two event types for the tests of the stream runtime: a step that is asked for, and one that was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from tidemill.contracts.contract import Contract

PARTITIONS = 4


def _contract(event_type: str, name: str) -> Contract:
    return Contract.from_schema(
        {
            "type": "record",
            "name": name,
            "namespace": "tests.events",
            "doc": "One step of a test.",
            "tidemill": {
                "topic": event_type,
                "key": "lane",
                "partitions": PARTITIONS,
                "retention": "1d",
                "cleanup": "delete",
                "compatibility": "BACKWARD",
            },
            "fields": [
                {"name": "lane", "type": "string", "doc": "Steps of one lane keep their order."},
                {"name": "number", "type": "int", "doc": "Place within the lane."},
                {"name": "note", "type": "string", "default": "", "doc": "Anything."},
            ],
        },
        origin=f"{event_type}.avsc",
    )


@dataclass(frozen=True, kw_only=True)
class StepAsked:
    """What the streams of these tests read."""

    lane: str
    number: int
    note: str = ""
    __contract__: ClassVar[Contract] = _contract("step.asked", "StepAsked")

    def to_record(self) -> dict[str, Any]:
        return self.__dict__

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(**record)


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """What they publish."""

    lane: str
    number: int
    note: str = ""
    __contract__: ClassVar[Contract] = _contract("step.done", "StepDone")

    def to_record(self) -> dict[str, Any]:
        return self.__dict__

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(**record)
