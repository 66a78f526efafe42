"""The negative control: the storm's stream `parcels` as a plain Faust agent, as Faust's documentation shows one.

`python -m tests.crash.naive` runs a worker; its addresses and namespace come from TIDEMILL_*, the ledger's path from
the storm. It reads the same events, does what their notes ask, and writes the same ledger and outputs. A storm that
takes nothing from it is blind.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import faust

from tests.crash.storm.events import ParcelSent, ReceiptGiven
from tests.crash.storm.ledgers import HANDLERS_LEDGER, Handled, Mark, handlers_ledger, now_seconds
from tests.crash.storm.notes import Doing, wish
from tests.integration.worker_program import Program, environment
from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.registry import Registry
from tidemill.event import ID, derived_id

DATA_FOLDER = "NAIVE_DATA_FOLDER"
READY = "[^Worker]: Ready"
SESSION_SECONDS = 6.0


class Refused(Exception):
    """What the agent raises that was told to."""


def app(settings: Settings, codec: Codec) -> Any:
    """The Faust app: one agent over one topic, all else as it comes.

    Args:
        settings: Addresses and namespace.
        codec: Reads parcels, writes receipts.
    """
    naive: Any = faust.App(
        settings.qualified("naive"),
        broker=[f"kafka://{address}" for address in settings.bootstrap_servers.split(",")],
        store="memory://",
        datadir=os.environ[DATA_FOLDER],
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        # As soon as Tidemill's: with Faust's minute a killed worker would only make the storm longer.
        broker_session_timeout=SESSION_SECONDS,
        broker_rebalance_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1.0,
    )
    sent = naive.topic(settings.qualified(ParcelSent.__contract__.topic), value_serializer="raw", key_serializer="raw")
    given = naive.topic(
        settings.qualified(ReceiptGiven.__contract__.topic), value_serializer="raw", key_serializer="raw"
    )

    @naive.agent(sent)  # type: ignore[untyped-decorator, unused-ignore]
    async def parcels(stream: Any) -> None:
        async for event in stream.events():
            parcel = codec.decode(event.value, ParcelSent)
            event_id = dict(event.headers)[ID].decode()
            note_down("START", event_id, parcel, event.message.partition)
            doing, seconds = wish(parcel.note)
            await asyncio.sleep(seconds)
            if doing is not Doing.WELL:
                raise Refused("told to")
            note_down("DONE", event_id, parcel, event.message.partition)
            receipt = ReceiptGiven(lane=parcel.lane, number=parcel.number, note="parcels")
            output_id = derived_id(event_id, "parcels:0").encode()
            await given.send(key=parcel.lane.encode(), value=codec.encode(receipt), headers=[(ID, output_id)])

    return naive


def note_down(mark: Mark, event_id: str, parcel: ParcelSent, partition: int) -> None:
    """Write a line of the ledger; an agent knows of one try only."""
    entry = Handled(mark, now_seconds(), event_id, "parcels", parcel.lane, parcel.number, partition, 1, os.getpid())
    handlers_ledger().write(entry)


def naive_worker(settings: Settings, ledger: Path, folder: Path) -> Program:
    """Start a worker.

    Args:
        settings: Where.
        ledger: The handlers' ledger.
        folder: For its output and Faust's data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    variables = {HANDLERS_LEDGER: str(ledger), DATA_FOLDER: str(folder)}
    arguments = [sys.executable, "-m", "tests.crash.naive", "worker", "--without-web", "--loglevel", "info"]
    return Program(arguments, environment(settings, folder, **variables), folder)


def main() -> None:
    """Run `faust worker` with this app."""
    settings = load_settings()
    with Registry(settings) as registry:
        app(settings, Codec(registry)).main()


if __name__ == "__main__":
    main()
