"""The event types of a storm: parcels, errands, and the receipts that both streams publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from tidemill.contracts.contract import Contract

PARTITIONS = 12


def _contract(event_type: str, name: str) -> Contract:
    return Contract.from_schema(
        {
            "type": "record",
            "name": name,
            "namespace": "tests.storm",
            "doc": "One event of a storm.",
            "tidemill": {
                "topic": event_type,
                "key": "lane",
                "partitions": PARTITIONS,
                "retention": "1d",
                "cleanup": "delete",
                "compatibility": "BACKWARD",
            },
            "fields": [
                {"name": "lane", "type": "string", "doc": "Events of one lane keep their order."},
                {"name": "number", "type": "int", "doc": "Place within the lane, from 0."},
                {"name": "note", "type": "string", "default": "", "doc": "What its handler is to do."},
            ],
        },
        origin=f"{event_type}.avsc",
    )


@dataclass(frozen=True, kw_only=True)
class _InALane:
    lane: str
    number: int
    note: str = ""

    def to_record(self) -> dict[str, Any]:
        return {"lane": self.lane, "number": self.number, "note": self.note}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(**record)


@dataclass(frozen=True, kw_only=True)
class ParcelSent(_InALane):
    """What the stream `parcels` reads: many, handled on the event loop."""

    __contract__: ClassVar[Contract] = _contract("parcel.sent", "ParcelSent")


@dataclass(frozen=True, kw_only=True)
class ErrandAsked(_InALane):
    """What the stream `errands` reads: few, handled in processes of their own."""

    __contract__: ClassVar[Contract] = _contract("errand.asked", "ErrandAsked")


@dataclass(frozen=True, kw_only=True)
class ReceiptGiven(_InALane):
    """What both publish, one for each event; the note is the name of the stream."""

    __contract__: ClassVar[Contract] = _contract("receipt.given", "ReceiptGiven")
