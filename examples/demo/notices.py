"""The demo's notices: a signed webhook, a webhook that is gone and so a mail, several gathered into one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo.receiver import Call, Receiver
from streams.notification.address import email_address, webhook_address
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.settings import load_notification_settings
from tidemill.config import Settings
from tidemill.events import NotificationRequested

SHOP, GRACE = "shop", "grace"
"""A program that is told by webhooks; a person whose webhook is gone, and who has a mailbox."""
GRACE_MAIL = "grace@example.com"
DIGEST_SECONDS = 4
COMMENTS = ("Lin on page 2", "Sam on page 2", "Lin on page 7")
ORDER = "Order 4711 is paid"
WARNING = "Your trial ends tomorrow"
REPORT = "Sales is ready"
FALLBACK = "mail instead of a webhook"


@dataclass
class Notices:
    """What came of them.

    Attributes:
        taken: Webhooks that the shop's receiver took.
        refused: Those that Grace's answered with 410.
    """

    taken: list[Call] = field(default_factory=list)
    refused: list[Call] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the shop has been told all that is for it."""
        return {ORDER, REPORT, f"{len(COMMENTS)} notices"} <= {str(call.said["data"]["title"]) for call in self.taken}

    def faults(self) -> Iterator[str]:
        """What isn't as it should be."""
        if not self.is_complete:
            yield f"the webhooks {[call.said['data']['title'] for call in self.taken]} aren't all that were asked for"
        if unsigned := [call.id for call in (*self.taken, *self.refused) if not call.is_verified]:
            yield f"the webhooks {unsigned} bear no valid signature"
        if len({call.id for call in self.taken}) != len(self.taken):
            yield "a webhook came twice"
        if len(self.refused) != 1:
            yield f"a webhook that is gone was asked {len(self.refused)} times, expected once"


def environment(folder: Path) -> Mapping[str, str]:
    """Settings of the notification stream: receivers on this machine, and a digest that is short."""
    return {
        "TIDEMILL_NOTIFICATION_DIRECTORY_URL": f"sqlite:///{folder / 'notifications.db'}",
        "TIDEMILL_NOTIFICATION_ALLOW_NETWORKS": json.dumps(["127.0.0.0/8"]),
        "TIDEMILL_NOTIFICATION_ALLOW_HTTP": "true",
        "TIDEMILL_NOTIFICATION_DIGEST_MINUTES": json.dumps({"comments": DIGEST_SECONDS / 60}),
    }


def enter_recipients(settings: Settings, folder: Path, receiver: Receiver) -> None:
    """Who they are and where they are reached; the demo before knew other ports.

    Args:
        settings: The stack's.
        folder: Where the directory is.
        receiver: Where webhooks go.
    """
    for file in folder.glob("notifications.db*"):
        file.unlink()
    chosen = load_notification_settings(
        directory_url=f"sqlite:///{folder / 'notifications.db'}", allow_http=True, allow_networks=["127.0.0.0/8"]
    )
    database = Database(chosen, settings)
    directory = Directory(database)
    for recipient, path in ((SHOP, "/orders"), (GRACE, "/moved")):
        directory.put(Recipient(recipient))
        directory.add(recipient, webhook_address(receiver.url + path, receiver.secret, chosen))
    directory.add(GRACE, email_address(f"Grace <{GRACE_MAIL}>"))
    database.close()


def asked() -> dict[str, NotificationRequested]:
    """What is asked for, each by its name; the report tells the shop by itself."""
    comments = {
        f"comment {number}": NotificationRequested(recipient=SHOP, title=title, digest="comments")
        for number, title in enumerate(COMMENTS, 1)
    }
    return {
        "webhook": NotificationRequested(recipient=SHOP, title=ORDER, data={"order": "4711"}),
        FALLBACK: NotificationRequested(
            recipient=GRACE, title=WARNING, body="What you have made stays.", channels=["webhook", "email"]
        ),
        **comments,
    }


def seen_by(receiver: Receiver) -> Notices:
    """What has come so far."""
    return Notices(receiver.calls("/orders"), receiver.calls("/moved"))
