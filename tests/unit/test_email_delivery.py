"""Who gets a mail and how often, over many tries of the same event, with a ledger that remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.email.connection import Refused
from streams.email.delivery import Delivered, Sending, deliver
from streams.email.replies import Handover, Refusal
from tidemill.errors import HandlerError, OutcomeUnknown, Reject, RetryAfter

Answers = dict[str, list[str]]


class Ledger:
    """Remembers what effects returned, as `work.once` does."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}

    async def once(self, key: str, effect: Callable[[], Awaitable[Any]], *, policy: Any) -> Any:
        if key not in self.results:
            self.results[key] = await effect()
        return self.results[key]


class Relay:
    """A server that answers each address by a list, its last answer for ever; counts what each got."""

    def __init__(self, **answers: str) -> None:
        self.answers: Answers = {f"{name}@x.example": words.split("|") for name, words in answers.items()}
        self.got: list[str] = []
        self.asked = 0

    async def send(self, recipients: tuple[str, ...]) -> tuple[Handover, int]:
        self.asked += 1
        refused = []
        for address in recipients:
            answers = self.answers[address]
            code = int(answers.pop(0) if len(answers) > 1 else answers[0])
            if code != 250:
                refused.append(Refusal(address, code, "words"))
        accepted = tuple(address for address in recipients if address not in {each.address for each in refused})
        if not accepted:
            raise Refused("mx:25", refused)
        self.got += accepted
        return Handover("mx:25", accepted, tuple(refused), "250 ok"), 1234


async def attempt(relay: Relay, ledger: Ledger, number: int = 1, *, is_last: bool = False, **more: Any) -> Delivered:
    return await deliver(
        Sending(
            recipients=tuple(relay.answers),
            suppressed=more.get("suppressed", lambda address: None),
            send=more.get("send", relay.send),
            once=ledger.once,
            policy="again",
            is_last=is_last,
            usual_wait_seconds=5.0 * 2 ** (number - 1),
            greylist_seconds=300,
        )
    )


async def tried(relay: Relay, ledger: Ledger, attempts: int) -> tuple[Delivered, int]:
    """The outcome after tries as the stream makes them, and how many there were."""
    for number in range(1, attempts + 1):
        try:
            return await attempt(relay, ledger, number, is_last=number == attempts), number
        except HandlerError as error:
            if not error.retriable or number == attempts:
                raise
    raise AssertionError("no attempt was made")


async def test_everybody_accepted_is_one_mail() -> None:
    relay, ledger = Relay(a="250", b="250"), Ledger()
    found = await attempt(relay, ledger)
    assert (found.accepted, found.refused, found.size_bytes) == (["a@x.example", "b@x.example"], [], 1234)
    assert await attempt(relay, ledger) == found
    assert relay.asked == 1


async def test_those_put_off_get_it_later_and_nobody_twice() -> None:
    relay, ledger = Relay(a="250", b="451|451|250", c="550", d="450|250"), Ledger()
    found, tries = await tried(relay, ledger, 5)
    assert sorted(relay.got) == ["a@x.example", "b@x.example", "d@x.example"]
    assert found.accepted == ["a@x.example", "d@x.example", "b@x.example"]
    assert [(each.address, each.code) for each in found.refused] == [("c@x.example", 550)]
    assert tries == 3
    again, _ = await tried(relay, ledger, 5)
    assert again == found
    assert len(relay.got) == 3


async def test_one_who_is_refused_for_good_in_the_end_is_told_beside_the_others() -> None:
    relay, ledger = Relay(a="250", b="451|550"), Ledger()
    found, _ = await tried(relay, ledger, 5)
    assert [(each.address, each.code) for each in found.refused] == [("b@x.example", 550)]
    assert (found.relay, found.answer, found.size_bytes) == ("mx:25", "250 ok", 1234)


async def test_one_who_is_put_off_to_the_last_is_told_and_stays_told() -> None:
    relay, ledger = Relay(a="250", b="451"), Ledger()
    found, tries = await tried(relay, ledger, 4)
    assert tries == 4
    assert [(each.address, each.code) for each in found.refused] == [("b@x.example", 451)]
    asked = relay.asked
    relay.answers["b@x.example"] = ["250"]
    assert (await tried(relay, ledger, 4))[0] == found
    assert relay.asked == asked


async def test_everybody_refused_for_good_is_rejected_with_the_servers_words() -> None:
    with pytest.raises(Reject, match=r"a@x\.example: 550 words; b@x\.example: 553 words"):
        await attempt(Relay(a="550", b="553"), Ledger())


@pytest.mark.parametrize(("number", "seconds"), [(1, 300), (6, 300), (7, 320), (9, 1280)])
async def test_greylisting_waits_a_few_minutes_at_least_and_as_any_other_failure_after_many_tries(
    number: int, seconds: float
) -> None:
    with pytest.raises(RetryAfter) as caught:
        await attempt(Relay(a="451"), Ledger(), number)
    assert caught.value.seconds == seconds


@pytest.mark.parametrize("code", ["421", "452", "454"])
async def test_other_refusals_for_now_wait_as_the_stream_says(code: str) -> None:
    with pytest.raises(HandlerError) as caught:
        await attempt(Relay(a=code), Ledger())
    assert caught.value.retriable
    assert not isinstance(caught.value, RetryAfter)


async def test_refused_for_now_and_for_good_without_anybody_accepted_is_tried_again_for_all() -> None:
    relay, ledger = Relay(a="550", b="421|250"), Ledger()
    found, _ = await tried(relay, ledger, 3)
    assert relay.got == ["b@x.example"]
    assert [each.address for each in found.refused] == ["a@x.example"]


async def test_a_server_that_takes_few_at_a_time_gets_the_rest_at_once() -> None:
    relay, ledger = Relay(a="250", b="452|250", c="452|452|250"), Ledger()
    found = await attempt(relay, ledger)
    assert found.accepted == ["a@x.example", "b@x.example", "c@x.example"]
    assert relay.got == found.accepted


async def test_who_is_suppressed_gets_nothing_and_is_told() -> None:
    relay, ledger = Relay(a="250", b="250"), Ledger()
    suppressed = {"b@x.example": "@x.example"}.get
    found = await attempt(relay, ledger, suppressed=suppressed)
    assert (relay.got, found.suppressed) == (["a@x.example"], [("b@x.example", "@x.example")])


async def test_everybody_suppressed_asks_no_server_and_stays_so_when_the_list_changes() -> None:
    relay, ledger = Relay(a="250"), Ledger()
    found = await attempt(relay, ledger, suppressed=lambda address: "@x.example")
    assert (found.accepted, found.suppressed, found.relay) == ([], [("a@x.example", "@x.example")], None)
    again = await attempt(relay, ledger)
    assert again.accepted == []
    assert [list(each) for each in again.suppressed] == [["a@x.example", "@x.example"]]
    assert relay.asked == 0


async def test_an_unknown_outcome_goes_to_the_ledger_as_it_is() -> None:
    async def lose(recipients: tuple[str, ...]) -> tuple[Handover, int]:
        raise OutcomeUnknown("nobody knows")

    ledger = Ledger()
    with pytest.raises(OutcomeUnknown):
        await attempt(Relay(a="250"), ledger, send=lose)
    assert ledger.results == {}
