"""Mails through a hostile server while workers are killed: each goes out once, or as its policy says.

300 mails by default; `TIDEMILL_TEST_MAILS=1000 pytest -s tests/crash/test_email.py` is the long form.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from tests.crash.hostile_relay import GONE, HostileRelay
from tests.integration.smtp_server import smtp_server_in_thread
from tests.integration.worker_program import Program, gone, tidemill_worker
from tests.integration.working import ends, events, header, messages, prepare, wait_until
from tidemill import delayed
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.topics import apply, house_topics

MAILS = int(os.environ.get("TIDEMILL_TEST_MAILS", "300"))
KILLS = max(3, MAILS // 100)
SECONDS = 60.0 + MAILS / 10
CONCURRENCY = 16
TEMPLATES = Path(__file__).parents[2] / "examples/email/templates"
DEAD = EmailRequested.__contract__.dead_topic
DELAYED = delayed.TOPIC
SENT = EmailSent.__contract__.topic
CONTEXT = (TEMPLATES / "welcome.context.json").read_text(encoding="utf-8")


def requests() -> dict[str, EmailRequested]:
    """Mails by the id of their event: one in thirty to nobody, one in five to two people."""
    found = {}
    for number in range(MAILS):
        to = [f"u{number}@{GONE if number % 30 == 7 else 'example.com'}"]
        if number % 5 == 0:
            to.append(f"second{number}@example.com")
        found[f"mail-{number}"] = EmailRequested(to=to, template="welcome", context=CONTEXT)
    return found


def publish(settings: Settings, asked: dict[str, EmailRequested]) -> None:
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        for id, request in asked.items():
            publisher.publish(request, id=id)


@pytest.mark.parametrize("policy", ["again", "hold"])
def test_each_mail_goes_out_once_or_as_its_policy_says(
    settings: Settings, tmp_path: Path, policy: Literal["again", "hold"], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(settings, EmailRequested, EmailSent)
    apply(settings, [], house=house_topics())
    relay, asked = HostileRelay(seed=6), requests()
    with smtp_server_in_thread(relay) as server:
        variables = {
            "PORT": str(server.port),
            "TEMPLATES": str(TEMPLATES),
            "SENDER": "hello@example.com",
            "UNKNOWN": policy,
            "GREYLIST_SECONDS": "0.2",
            "DATA_SECONDS": "1",
            "MAX_CONNECTIONS": "8",
        }
        arguments = ("tests.crash.email_stream:quick", "--processes", "2", "--concurrency", str(CONCURRENCY))
        began = time.monotonic()
        more = {f"TIDEMILL_EMAIL_{name}": value for name, value in variables.items()}
        with tidemill_worker(settings, tmp_path, *arguments, **more) as worker:
            publish(settings, asked)
            kills = kill_now_and_then(worker, relay)
            await_outcomes(settings, asked)
            seconds = time.monotonic() - began
            told, dead = outcomes(settings)
            before = relay.copies

            # Yesterday's requests again.
            publish(settings, {id: asked[id] for id in told})
            wait_until(lambda: count(settings) >= len(told) + len(told) + len(dead), "all ran again", SECONDS)
            assert relay.copies == before
            left = worker.descendants()
            worker.end()
        gone(left)

    copies = {id: relay.taken.get(f"{id}@example.com", []) for id in asked}
    unanswered = {id: relay.unanswered[f"{id}@example.com"] for id in asked}
    per_person = {id: Counter(address for group in groups for address in group) for id, groups in copies.items()}
    for id, request in asked.items():
        people = [address for address in request.to if not address.endswith(GONE)]
        twice = [address for address in people if per_person[id][address] > 1]
        assert not set(per_person[id]) - set(people)
        if policy == "hold":
            assert twice == [], (id, copies[id])
        if id in told:
            assert sorted(told[id].accepted) == sorted(people), id
            assert all(per_person[id][address] >= 1 for address in people), id
            assert {each.address for each in told[id].refused} == set(request.to) - set(people)
        elif not people and "EffectHeld" not in dead[id]:
            assert "550 5.1.1 no such person" in dead[id], dead[id]
        else:
            # A person is asked, and nobody has it twice meanwhile; also where a refusal was lost with its worker.
            assert policy == "hold", (id, dead[id])
            assert "EffectHeld" in dead[id], dead[id]
    doubled = [id for id in asked if any(number > 1 for number in per_person[id].values())]
    # A second copy only where the answer to the first was lost, or its worker was killed while it waited for it.
    assert len([id for id in doubled if not unanswered[id]]) <= kills * CONCURRENCY
    held = [id for id in dead if "EffectHeld" in dead[id]]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{policy}: {MAILS} mails, {kills} workers killed, {seconds:.1f} s: {len(told)} told as sent, "
            f"{before} copies taken, {len(doubled)} mails twice, {len(held)} held for a person, "
            f"{len(dead) - len(held)} refused for good. Answers lost: {sum(unanswered.values())}. "
            f"The server did {dict(relay.did)}.\n"
        )


def kill_now_and_then(worker: Program, relay: HostileRelay) -> int:
    """Kill one of the workers at even shares of the mails; returns how often."""
    luck = random.Random(6)
    for number in range(1, KILLS + 1):
        share = MAILS * 0.8 * number / KILLS
        wait_until(lambda share=share: relay.copies >= share, f"{share:.0f} mails are taken", SECONDS)  # type: ignore[misc]
        wait_until(lambda: len(worker.workers()) == 2, "both workers run", SECONDS)
        luck.choice(worker.workers()).kill()
    return KILLS


def await_outcomes(settings: Settings, asked: dict[str, EmailRequested]) -> None:
    """Wait until each mail was sent or became a dead letter; or fail with the ids of the others."""
    deadline = time.monotonic() + SECONDS
    while missing := asked.keys() - settled(settings):
        if time.monotonic() > deadline:
            by_the_clock = {header(message, "ce_id") for message in messages(settings, DELAYED)}
            pytest.fail(
                f"{len(missing)} mails have no outcome after {SECONDS:g} s: {sorted(missing)[:10]}; "
                f"of these wait for a scheduler, which isn't there: {sorted(missing & by_the_clock)[:10]}"
            )
        time.sleep(0.1)


def outcomes(settings: Settings) -> tuple[dict[str, EmailSent], dict[str, str]]:
    """What was told of each mail, by the id of its request: sent, or why it became a dead letter."""
    told: dict[str, EmailSent] = {}
    for event in events(settings, EmailSent):
        # The same event may be told twice, by a worker that was killed before its commit; it says the same.
        assert told.setdefault(event.cause or "", event.payload) == event.payload
    dead = {
        header(message, "ce_id"): f"{header(message, 'tm_dead_error')}: {header(message, 'tm_dead_message')}"
        for message in (messages(settings, DEAD))
    }
    return told, dead


def settled(settings: Settings) -> set[str]:
    """Mails that have an outcome."""
    told, dead = outcomes(settings)
    return told.keys() | dead.keys()


def count(settings: Settings) -> int:
    """Outcomes told, the same ones twice included."""
    return sum(sum(ends(settings, topic).values()) for topic in (SENT, DEAD))
