"""Who gets a mail and how often: groups of recipients, each handed over once, and what became of all of them.

The first group is everybody who isn't suppressed. Recipients that the server put off while it took others are a group
of their own the next time, so that nobody gets a mail twice. Each group is an effect (`work.once`): what came of it is
written down before anything else is done, and a rerun reads it instead of sending.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from streams.email.connection import Refused
from streams.email.replies import (
    GREYLISTING,
    TOO_MANY_RECIPIENTS,
    Handover,
    Refusal,
    as_json,
    from_json,
)
from tidemill.errors import HandlerError, Reject, RetryAfter

MOST_GROUPS = 100

Effect = Callable[[], Awaitable[Any]]


class Once(Protocol):
    """`Work.once`: does an effect, or returns what came of it before."""

    def __call__(self, key: str, effect: Effect, *, policy: Literal["again", "hold"]) -> Awaitable[Any]: ...


@dataclass
class Delivered:
    """What became of a mail.

    Attributes:
        accepted: Recipients that a server took it for.
        refused: Those that it went not to.
        suppressed: Address and what suppresses it.
        relay, answer: Of the last server that took it.
        size_bytes: Of the mail; 0 where none was sent.
    """

    accepted: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    suppressed: list[tuple[str, str]] = field(default_factory=list)
    relay: str | None = None
    answer: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True)
class Sending:
    """What the delivery of one mail needs.

    Attributes:
        recipients: Everybody's address.
        suppressed: What suppresses an address, or None.
        send: Makes the mail and hands it over to some recipients; returns that and the mail's size in bytes.
        once: Does an effect once.
        policy: `again` or `hold`, where nobody knows whether it was done.
        is_last: Whether no other try follows this one.
        usual_wait_seconds: What the stream waits before the next try.
        greylist_seconds: Shortest wait of a mail that a server wants to see again.
    """

    recipients: tuple[str, ...]
    suppressed: Callable[[str], str | None]
    send: Callable[[tuple[str, ...]], Awaitable[tuple[Handover, int]]]
    once: Once
    policy: Literal["again", "hold"]
    is_last: bool
    usual_wait_seconds: float
    greylist_seconds: float


async def deliver(sending: Sending) -> Delivered:
    """Hand a mail over to everybody who hasn't had it.

    Args:
        sending: The mail and all around it.

    Raises:
        Reject: The server refuses it for good, for everybody.
        RetryAfter, HandlerError: For everybody, or for some, it is to be tried again.
        OutcomeUnknown: Nobody knows whether the server took it.
    """
    result = Delivered()
    pending: tuple[str, ...] | None = None
    for number in range(1, MOST_GROUPS + 1):
        group = _Group(sending, pending)
        found = await sending.once("smtp" if number == 1 else f"smtp-{number}", group.hand_over, policy=sending.policy)
        result.suppressed += [(address, by) for address, by in found["suppressed"]]
        if found["handover"] is None:
            return result
        handover = from_json(found["handover"])
        result.accepted += handover.accepted
        result.refused += [each for each in handover.refused if each.is_final]
        if handover.accepted:
            result.relay, result.answer, result.size_bytes = handover.relay, handover.answer, found["size_bytes"]
        put_off = [each for each in handover.refused if not each.is_final]
        if not put_off:
            return result
        pending = tuple(each.address for each in put_off)
        at_once = handover.accepted and all(each.code == TOO_MANY_RECIPIENTS for each in put_off)
        if found["is_last"] and not at_once:
            # Others have it: that isn't a dead letter, but a mail that some didn't get.
            result.refused += put_off
            return result
        if group.asked and not at_once:
            raise later(handover.relay, put_off, sending)
    raise Reject(f"The server takes so few recipients at a time that {MOST_GROUPS} mails weren't enough.")


class _Group:
    """One effect: some recipients, asked for once."""

    def __init__(self, sending: Sending, pending: tuple[str, ...] | None) -> None:
        self._sending = sending
        self._pending = pending
        self.asked = False

    async def hand_over(self) -> dict[str, Any]:
        """Send, and tell what came of it as JSON; an error means that nobody got it."""
        sending = self._sending
        self.asked = True
        addresses, suppressed = self._pending or sending.recipients, []
        if self._pending is None:
            suppressed = [(address, by) for address in addresses if (by := sending.suppressed(address)) is not None]
            left_out = {address for address, _ in suppressed}
            addresses = tuple(address for address in addresses if address not in left_out)
        if not addresses:
            return self._record(suppressed, None, 0)
        try:
            handover, size_bytes = await sending.send(addresses)
        except Refused as error:
            if self._pending is not None and (all(each.is_final for each in error.refused) or sending.is_last):
                # Others have the mail: what is left is told beside them, and the next run finds it written down.
                return self._record(suppressed, Handover(error.relay, (), error.refused, ""), 0)
            raise _outcome(error, sending) from error
        return self._record(suppressed, handover, size_bytes)

    def _record(self, suppressed: list[tuple[str, str]], handover: Handover | None, size_bytes: int) -> dict[str, Any]:
        return {
            "suppressed": [list(each) for each in suppressed],
            "handover": None if handover is None else as_json(handover),
            "size_bytes": size_bytes,
            "is_last": self._sending.is_last,
        }


def _outcome(error: Refused, sending: Sending) -> HandlerError:
    put_off = [each for each in error.refused if not each.is_final]
    if put_off:
        return later(error.relay, put_off, sending)
    return Reject(
        f"{error.relay} refuses the mail: {_words(error.refused)}",
        hint="Correct the address or what the server objects to, then publish it again.",
    )


def later(relay: str, put_off: list[Refusal], sending: Sending) -> HandlerError:
    """The error that makes the stream try a mail again, after a wait that suits the server's words.

    Args:
        relay: The server.
        put_off: Recipients that it refused for now.
        sending: The waits.
    """
    message = f"{relay} puts the mail off: {_words(put_off)}"
    if any(each.code in GREYLISTING for each in put_off):
        # Not doubled from try to try: tries that failed for other reasons would make a first greylisting last hours.
        return RetryAfter(max(sending.greylist_seconds, sending.usual_wait_seconds), message)
    return HandlerError(message, retriable=True)


def _words(refused: list[Refusal] | tuple[Refusal, ...]) -> str:
    shown = "; ".join(f"{each.address}: {each.code} {each.text}" for each in refused[:5])
    more = len(refused) - 5
    return shown + (f"; and {more} more." if more > 0 else "." if not shown.endswith(".") else "")
