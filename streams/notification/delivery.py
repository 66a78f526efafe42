"""Through a recipient's channels in order of preference, until one takes it.

A channel is through when one of its addresses has taken it. One that fails, be it for now or for good, makes room for
the next at once: somebody who waits for a push service to come back is somebody who isn't told. Only where none works
is all of it tried again, or given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from streams.notification.answers import Expired, Gone, NotNow, NotReached, Refused
from streams.notification.content import Content
from streams.notification.directory import Address
from streams.notification.waiting import Plan
from tidemill.errors import ConfigError, HandlerError, OutcomeUnknown, Reject
from tidemill.events import NotificationTry

Policy = Literal["again", "hold"]
Send = Callable[[Address, Content], Awaitable[None]]


class Once(Protocol):
    """`Work.once`: does an effect, or returns what came of it before."""

    def __call__(self, key: str, effect: Callable[[], Awaitable[Any]], *, policy: Policy) -> Awaitable[Any]: ...


@dataclass(frozen=True)
class Sending:
    """What the delivery of one content needs.

    Attributes:
        content: What to say.
        plan: Where.
        send: Hands the content to one address; returns when it was taken.
        retire: Notes that an address is gone, and why.
        once: Does an effect once.
        policies: What follows where nobody knows whether an address got it, by channel; `again` for the others.
        now_seconds: The time, seconds since 1970.
    """

    content: Content
    plan: Plan
    send: Send
    retire: Callable[[str, str], Awaitable[None]]
    once: Once
    policies: Mapping[str, Policy]
    now_seconds: Callable[[], float]


@dataclass
class Delivered:
    """What became of it.

    Attributes:
        tried: What each address said.
        channel: The channel that took it; None where it has expired meanwhile.
        is_fallback: Whether a channel before it didn't work.
        mail_to: Addresses that the e-mail stream is to send it to.
    """

    tried: list[NotificationTry] = field(default_factory=list)
    channel: str | None = None
    is_fallback: bool = False
    mail_to: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """With a JSON form, to be kept."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Delivered:
        """From what `to_json` has made."""
        return cls(**{**found, "tried": [NotificationTry(**each) for each in found["tried"]]})


async def deliver(sending: Sending) -> Delivered:
    """Tell somebody, over the first channel that works.

    Args:
        sending: What, where and how.

    Raises:
        NotReached: No channel works now, and one may later.
        Reject: No channel will ever work.
        EffectHeld: Nobody knows whether a text was taken, and a person is to look.
        EffectUnderWay, LedgerUnavailable: As `Work.once`.
    """
    result = Delivered()
    put_off: list[HandlerError] = []
    for number, (channel, addresses) in enumerate(sending.plan):
        if not addresses:
            result.tried.append(NotificationTry(channel=channel, result="skipped", reason="there is no address for it"))
            continue
        ends = await asyncio.gather(*(_ask(sending, address) for address in addresses), return_exceptions=True)
        result.tried += map(_told, addresses, ends)
        if any(isinstance(end, Expired) for end in ends):
            return result
        put_off += [end for end in ends if isinstance(end, NotNow | OutcomeUnknown)]
        accepted = [address for address, end in zip(addresses, ends, strict=True) if end is None]
        if accepted:
            if channel == "email":
                result.mail_to = [address.secret["address"] for address in accepted]
            result.channel, result.is_fallback = channel, number > 0
            return result
    raise _failure(sending.content.recipient, result.tried, put_off)


async def _ask(sending: Sending, address: Address) -> None:
    async def effect() -> bool:
        if sending.content.expires is not None and sending.content.expires <= sending.now_seconds():
            raise Expired("it has expired")
        try:
            await sending.send(address, sending.content)
        except Gone as gone:
            await sending.retire(address.id, str(gone))
            raise
        return True

    if address.channel == "email":
        # The e-mail stream has an effect of its own; to ask it is an output, which is the same in every run.
        await effect()
    else:
        policy = sending.policies.get(address.channel, "again")
        await sending.once(f"{address.channel} {address.id}", effect, policy=policy)


def _told(address: Address, end: BaseException | None) -> NotificationTry:
    if end is None:
        return NotificationTry(channel=address.channel, address=address.id, result="accepted")
    if isinstance(end, Refused | NotNow | OutcomeUnknown):
        reason = f"{end}; it is removed" if isinstance(end, Gone) else str(end)
        return NotificationTry(channel=address.channel, address=address.id, result="refused", reason=reason)
    if isinstance(end, Expired | ConfigError):
        return NotificationTry(channel=address.channel, address=address.id, result="skipped", reason=str(end))
    raise end


def _failure(recipient: str, tried: list[NotificationTry], put_off: list[HandlerError]) -> HandlerError:
    said = "; ".join(f"{each.channel}{' ' if each.address else ''}{each.address}: {each.reason}" for each in tried)
    message = f"{recipient!r} wasn't reached. {said}."
    if not put_off:
        return Reject(message, hint="Mend the addresses or the settings, then publish the event again.")
    waits = [each.after_seconds for each in put_off if isinstance(each, NotNow) and each.after_seconds is not None]
    # Of those that say when, whoever wants to be asked first.
    return NotReached(message, tried, after_seconds=min(waits) if waits else None)
