"""The whole of a letter for `tidemill dead show`: what it was, why it died, and all that has happened to its event."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rich.text import Text

from consumers.deadletters.fetching import Fetching
from consumers.deadletters.letter import own_headers
from consumers.deadletters.listing import NO_STREAM, moment
from consumers.deadletters.payloads import Payloads
from consumers.deadletters.plain_text import decoded, one_line, plain
from consumers.deadletters.selection import actions_on, of_event, place_text
from tidemill.console import out
from tidemill.event import headers_of
from tidemill.runtime import deadletter

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidemill.config import Settings

MOST_DEATHS = 100
MOST_HEADER = 300


def whole_letter(settings: Settings, connection: Connection, row: Any) -> dict[str, Any]:
    """A letter as JSON data.

    Args:
        settings: Addresses, namespace.
        connection: Of the index.
        row: The letter's, as `selection.letters` gives it.

    Raises:
        BrokerError: Its topic can't be read.
    """
    with closing(Fetching(settings)) as fetching:
        found = list(fetching.letters(row.topic, row.partition, [row.offset]))
    facts: dict[str, Any] = {
        "id": place_text(row.topic, row.partition, row.offset),
        "state": row.state,
        "group": row.group_id,
        "stream": row.stream or None,
        "handler": row.handler,
        "event": {
            "id": row.event_id,
            "type": row.type or None,
            "topic": row.source_topic or None,
            "partition": row.source_partition if row.source_topic else None,
            "offset": row.source_offset if row.source_topic else None,
            "key": row.key,
        },
        "died": moment(row.died_ms).isoformat(),
        "attempts": row.attempts,
        "redrives": row.redrives,
        "size_bytes": row.bytes,
        "error": row.error,
        "message": row.message,
        "trace": "",
        "headers": None,
        "payload": None,
        "payload_fault": "The letter is deleted by its topic's retention; this is what the index knows.",
    }
    if found:
        headers = dict(headers_of(found[0]))
        facts["message"] = plain(decoded(headers.get(deadletter.MESSAGE)))
        facts["trace"] = plain(decoded(headers.get(deadletter.TRACE)))
        facts["headers"] = {
            one_line(name, MOST_HEADER): None if value is None else one_line(decoded(value), MOST_HEADER)
            for name, value in own_headers(found[0])
        }
        with closing(Payloads(settings)) as payloads:
            facts["payload"], facts["payload_fault"] = payloads.shown(found[0].value())
    facts["history"] = _history(connection, row.event_id)
    return facts


def _history(connection: Connection, event_id: str) -> list[dict[str, Any]]:
    """Each time that an event died, and what was done about it, in order of time."""
    told: list[dict[str, Any]] = []
    for row in of_event(connection, event_id, MOST_DEATHS):
        place = place_text(row.topic, row.partition, row.offset)
        error = one_line(f"{row.error.rpartition('.')[2]}: {row.message}", MOST_HEADER)
        told.append(
            {
                "at": row.died_ms,
                "what": "died",
                "stream": row.stream or None,
                "letter": place,
                "said": error,
                "by": None,
            }
        )
        for action in actions_on(connection, row.id):
            back = action.kind == "redrive"
            told.append(
                {
                    "at": action.at_ms,
                    "what": "redriven" if back else "discarded",
                    "stream": row.stream or None,
                    "letter": place,
                    "said": one_line(action.why, MOST_HEADER) + (" (edited)" if action.edit else ""),
                    "by": one_line(action.by, MOST_HEADER),
                }
            )
        if row.state in ("resolved", "expired"):
            told.append(
                {"at": None, "what": row.state, "stream": row.stream or None, "letter": place, "said": "", "by": None}
            )
    told.sort(key=lambda each: each["at"] if each["at"] is not None else float("inf"))
    return [{**each, "at": None if each["at"] is None else moment(each["at"]).isoformat()} for each in told]


def print_letter(facts: dict[str, Any]) -> None:
    """A letter for people."""
    event = facts["event"]
    lay = "-" if event["topic"] is None else f"{event['topic']}/{event['partition']}/{event['offset']}"
    _print_pairs(
        {
            "letter": f"{facts['id']}, {facts['state']}",
            "group": facts["group"],
            "stream": facts["stream"] or NO_STREAM,
            "handler": facts["handler"] or "-",
            "event": event["id"],
            "type": event["type"] or "-",
            "lay at": lay,
            "key": event["key"] or "-",
            "died": f"{facts['died']}, after {facts['attempts']:,} {'try' if facts['attempts'] == 1 else 'tries'}",
            "redriven": f"{facts['redrives']} times before" if facts["redrives"] else "never before",
            "size": f"{facts['size_bytes']:,} B",
        }
    )
    out.print("\n[bold]error[/]")
    out.print(Text(f"  {facts['error']}: {facts['message']}".replace("\n", "\n  ")), soft_wrap=True)
    if facts["trace"]:
        out.print("\n[bold]traceback[/]")
        out.print(Text("  " + facts["trace"].rstrip().replace("\n", "\n  "), "dim"), soft_wrap=True)
    if facts["headers"]:
        out.print("\n[bold]headers[/]")
        _print_pairs(facts["headers"])
    out.print("\n[bold]payload[/]")
    if facts["payload_fault"] is not None:
        out.print(Text(f"  {facts['payload_fault']}", "yellow"), soft_wrap=True)
    if isinstance(facts["payload"], str) and facts["payload_fault"] is not None:
        out.print(Text(f"  {facts['payload']}"), soft_wrap=True)
    elif facts["payload"] is not None:
        # What a payload holds is as little to be trusted as an error's text.
        shown = plain(json.dumps(facts["payload"], indent=2, ensure_ascii=False))
        out.print(Text(shown), soft_wrap=True)
    out.print("\n[bold]history[/]")
    for each in facts["history"]:
        at = "" if each["at"] is None else each["at"][:19].replace("T", " ")
        about = " ".join(filter(None, (f"by {each['by']}" if each["by"] else "", each["said"])))
        out.print(Text(f"  {at:<19}  {each['what']:<9}  {each['stream'] or NO_STREAM}  {about}"), soft_wrap=True)


def _print_pairs(pairs: dict[str, Any]) -> None:
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        out.print(Text(f"  {name:<{width}}  {'-' if value is None else value}"), soft_wrap=True)
