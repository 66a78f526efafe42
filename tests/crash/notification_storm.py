"""`python -m tests.crash.notification_storm`: notices to receivers that fail now and then, while workers are killed.

Some go alone, some are gathered by a digest for a second, some are urgent; a scheduler wakes what waits. Each notice
must come to its receiver, in one delivery and no other; a delivery says the same whenever it comes again; and what goes
alone comes to a recipient in the order in which it was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from standardwebhooks import Webhook

from streams.notification.address import new_secret, webhook_address
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.settings import load_notification_settings
from tests.crash.storm.ground import ground, settings_for
from tests.integration.delays_running import scheduling
from tests.integration.worker_program import Program, tidemill_worker
from tests.integration.working import events, prepare
from tests.unit.notification_receivers import Receiver, receiver
from tests.unit.notification_samples import LOCAL
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, NotificationDue, NotificationRequested, NotificationSent
from tidemill.publisher import Publisher
from tidemill.topics import apply
from tidemill.topics.house import DELAYED

STREAMS = ("notification", "notification_due")
FAILING = 0.1
"""Share of webhooks that are answered 503."""
KILL_SECONDS = (1.5, 4.0)
DRAIN_SECONDS = 120.0


@dataclass
class Findings:
    """What came of it; the last five must be nothing."""

    notices: int = 0
    deliveries: int = 0
    webhooks: int = 0
    refused: int = 0
    kills: int = 0
    seconds: float = 0.0
    came_again: int = 0
    """Deliveries that were taken more than once: a worker was killed before it knew that they were."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    told_otherwise: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether all promises were kept."""
        return not (self.lost or self.doubled or self.changed or self.out_of_order or self.told_otherwise)


class Storm:
    """One storm.

    Args:
        settings: Of a stack of its own.
        folder: Where directory and logs are.
        luck: Of all that is random.
    """

    def __init__(self, settings: Settings, folder: Path, luck: Random) -> None:
        self._settings = settings
        self._folder = folder
        self._luck = luck
        self._secret = new_secret()
        self._plain: defaultdict[str, list[str]] = defaultdict(list)
        self.findings = Findings()
        self.asked: set[str] = set()

    async def run(self, notices: int, recipients: int) -> None:
        """Ask for so many notices of so many recipients, and kill a worker's processes until all are told."""
        began = time.monotonic()
        directory_url = f"sqlite:///{self._folder / 'directory.db'}"
        given = {**LOCAL, "digest_minutes": {"d": 1 / 60}, "directory_url": directory_url}
        chosen = load_notification_settings(**given)
        variables = {
            f"TIDEMILL_NOTIFICATION_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
        os.environ.update(variables, TIDEMILL_EFFECTS_LEASE_SECONDS="2")
        directory = Directory(Database(chosen, self._settings))
        async with receiver() as server:
            taken: list[str] = []
            server.rule = lambda request: self._answer(request.headers["webhook-id"], taken)
            for number in range(recipients):
                directory.put(Recipient(f"u-{number}"))
                directory.add(f"u-{number}", webhook_address(f"{server.url}/u-{number}", self._secret, chosen))
            with ExitStack() as ends:
                await asyncio.to_thread(ends.enter_context, scheduling(self._settings))
                worker = ends.enter_context(
                    tidemill_worker(self._settings, self._folder, *STREAMS, "--processes", "2", "--concurrency", "16")
                )
                asking = asyncio.create_task(asyncio.to_thread(self._ask, notices, recipients))
                await self._kill_until_told(worker, asking)
                await asyncio.to_thread(ends.close)
            self._look_at(server, taken)
        self.findings.seconds = round(time.monotonic() - began, 1)

    def _answer(self, id: str, taken: list[str]) -> int:
        if self._luck.random() < FAILING:
            self.findings.refused += 1
            return 503
        taken.append(id)
        return 204

    def _ask(self, notices: int, recipients: int) -> None:
        with Registry(self._settings) as registry, Publisher(self._settings, codec=Codec(registry)) as publisher:
            for number in range(notices):
                recipient, id, kind = f"u-{number % recipients}", f"n-{number}", number // recipients % 4
                request = NotificationRequested(
                    recipient=recipient,
                    title=id,
                    digest="d" if kind in (1, 2) else None,
                    urgency="high" if kind == 3 and number % 3 == 0 else "normal",
                )
                if request.digest is None and request.urgency == "normal":
                    self._plain[recipient].append(id)
                self.asked.add(id)
                publisher.publish(request, id=id)
                time.sleep(0.002)

    async def _kill_until_told(self, worker: Program, asking: asyncio.Task[None]) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while not asking.done() or self._told() < self.asked:
            assert time.monotonic() < deadline, f"{len(self.asked - self._told())} notices aren't told in time"
            await asyncio.sleep(self._luck.uniform(*KILL_SECONDS))
            # Towards the end there is peace, as somewhere in the middle of every promise.
            if time.monotonic() < deadline - DRAIN_SECONDS / 2 and (processes := worker.workers()):
                self._luck.choice(processes).kill()
                self.findings.kills += 1
        await asking

    def _told(self) -> set[str]:
        payloads = [event.payload for event in events(self._settings, NotificationSent)]
        return {id for payload in payloads if payload.outcome == "sent" for id in payload.notices}

    def _look_at(self, server: Receiver, taken: list[str]) -> None:
        found = self.findings
        found.notices, found.webhooks = len(self.asked), len(server.received)
        said: dict[str, list[str]] = {}
        where: defaultdict[str, set[str]] = defaultdict(set)
        came: defaultdict[str, list[str]] = defaultdict(list)
        accepted = set(taken)
        for call in server.received:
            id = call.headers["webhook-id"]
            titles = [
                each["title"] for each in Webhook(self._secret).verify(call.body, call.headers)["data"]["notices"]
            ]
            if said.setdefault(id, titles) != titles:
                found.changed.append(id)
            if id in accepted:
                for title in titles:
                    where[title].add(id)
                    if title not in came[call.path]:
                        came[call.path].append(title)
        found.deliveries = len(accepted)
        found.came_again = len(taken) - len(accepted)
        found.lost = sorted(self.asked - where.keys())
        found.doubled = sorted(title for title, ids in where.items() if len(ids) > 1)
        for recipient, plain in self._plain.items():
            if [title for title in came[f"/{recipient}"] if title in set(plain)] != plain:
                found.out_of_order.append(recipient)
        sent = {event.id: event.payload for event in events(self._settings, NotificationSent)}
        told = [id for payload in sent.values() if payload.outcome == "sent" for id in payload.notices]
        found.told_otherwise = sorted({id for id in told if told.count(id) > 1} | (self.asked ^ set(told)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it on a stack of its own, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.notification_storm", description=__doc__)
    parser.add_argument("--notices", type=int, default=2_000, help="how many (default: 2,000)")
    parser.add_argument("--recipients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tidemill-notices-") as name, ground(Path(name), [], brokers=1) as stack:
        settings = settings_for(stack, Path(name), namespace="notices.", protocol="consumer")
        prepare(settings, NotificationRequested, NotificationSent, NotificationDue, EmailRequested)
        apply(settings, [], house=[DELAYED])
        storm = Storm(settings, Path(name), Random(asked.seed))
        asyncio.run(storm.run(asked.notices, asked.recipients))
    sys.stdout.write(json.dumps(asdict(storm.findings), indent=1) + "\n")
    return 0 if storm.findings.held else 1


if __name__ == "__main__":
    sys.exit(main())
