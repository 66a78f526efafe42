"""A test notice to each address of a recipient at once, without Kafka and the stream: what each answers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from streams.notification.content import gather
from streams.notification.notifier import Notifier
from streams.notification.request import check_request
from streams.notification.settings import load_notification_settings
from tidemill.config import load_settings
from tidemill.errors import ConfigError, HandlerError
from tidemill.events import NotificationRequested


async def try_all(id: str) -> list[dict[str, Any]]:
    """Send a test notice to each address.

    Args:
        id: The recipient's.

    Returns:
        A row for each: `address`, `channel`, `where`, `result` (accepted, refused or skipped) and `reason`.

    Raises:
        Reject: There is no such recipient.
        ConfigError: The stream's settings can't be used.
        DirectoryUnavailable: The database doesn't answer.
    """
    notifier = Notifier(load_notification_settings(), load_settings())
    request = NotificationRequested(recipient=id, title="Test", body="If you can read this, it works.")
    notice = check_request(request, event_id=str(uuid.uuid4()), time=datetime.now(UTC))
    rows = []
    try:
        for each in notifier.directory.get(id)[1]:
            row = {"address": each.id, "channel": each.channel, "where": each.shown, "result": "accepted", "reason": ""}
            if each.state != "active" or each.channel == "email":
                by_stream = "goes by the e-mail stream: try `tidemill notification send --channels email`"
                row |= {"result": "skipped", "reason": each.note or by_stream}
            else:
                try:
                    await notifier.hand_over(each, gather(notice.id, [notice], notifier.settings.titles, None))
                except (HandlerError, ConfigError) as error:
                    row |= {"result": "refused", "reason": str(error)}
            rows.append(row)
    finally:
        await notifier.aclose()
    return rows
