"""Mails through a hostile server while workers are killed: each goes out once, or as its policy says.

60 mails of each policy by default, both policies at once. The long form is one policy after the other, with a worker
killed for every hundred mails: `TIDEMILL_TEST_MAILS=1000 pytest -s tests/crash/test_email.py`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import pytest

from tests.crash.email_outcomes import Outcomes
from tests.crash.hostile_relay import GONE, HostileRelay
from tests.integration.smtp_server import smtp_server_in_thread
from tests.integration.worker_program import Program, gone, tidemill_worker
from tests.integration.working import prepare
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.topics import apply, house_topics

Policy = Literal["again", "hold"]
POLICIES: tuple[Policy, ...] = ("again", "hold")
MAILS = int(os.environ.get("TIDEMILL_TEST_MAILS", "60"))
KILLS = max(1, MAILS // 100)
SECONDS = 60.0 + MAILS / 5
"""For one policy from beginning to end; a machine with nothing else to do takes some 10 for 60 mails."""
CONCURRENCY = 16
TEMPLATES = Path(__file__).parents[2] / "examples/email/templates"
CONTEXT = (TEMPLATES / "welcome.context.json").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Course:
    """What happened to the mails of one policy."""

    policy: Policy
    relay: HostileRelay
    kills: int
    told: dict[str, EmailSent]
    """What was told of each mail, by the id of its request."""
    dead: dict[str, str]
    """Why the others became dead letters."""
    again: int
    """Outcomes told once the requests had been published again."""
    copies_before: int
    """Mails that the server had taken before that."""
    seconds: float


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


@pytest.mark.timeout(2 * SECONDS + 90)
def test_each_mail_goes_out_once_or_as_its_policy_says(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = requests()

    def course(policy: Policy) -> Course:
        (folder := tmp_path / policy).mkdir()
        changes = {"namespace": f"{settings.namespace}{policy}.", "state_dir": folder}
        return run_course(settings.model_copy(update=changes), folder, policy, asked)

    # Most of the time of a few mails is waiting, for a killed worker's partitions to move.
    with ThreadPoolExecutor(max_workers=len(POLICIES) if MAILS < 100 else 1) as pool:
        courses = list(pool.map(course, POLICIES))
    for each in courses:
        with capsys.disabled():
            sys.stdout.write(in_words(each))
        check(each, asked)


def run_course(settings: Settings, folder: Path, policy: Policy, asked: dict[str, EmailRequested]) -> Course:
    """Send all mails while workers are killed, then ask for all that were sent once more."""
    prepare(settings, EmailRequested, EmailSent)
    apply(settings, [], house=house_topics())
    relay = HostileRelay(seed=6)
    began = time.monotonic()
    with smtp_server_in_thread(relay) as server, closing(Outcomes(settings)) as outcomes:
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
        more = {f"TIDEMILL_EMAIL_{name}": value for name, value in variables.items()}
        publish(settings, asked)
        with tidemill_worker(settings, folder, *arguments, **more) as worker:
            kills = kill_now_and_then(worker, relay, server.port, outcomes, asked.keys(), began + SECONDS)
            outcomes.await_all(asked.keys(), began + SECONDS)
            seconds = time.monotonic() - began
            told, dead, copies = dict(outcomes.told), dict(outcomes.dead), relay.copies

            # Yesterday's requests again: nothing is sent, and the same is told.
            relay.settle()
            publish(settings, {id: asked[id] for id in told})
            outcomes.await_count(outcomes.count + len(told), began + SECONDS)
            left = worker.descendants()
            worker.end()
        gone(left)
        return Course(policy, relay, kills, told, dead, outcomes.count, copies, seconds)


def kill_now_and_then(
    worker: Program, relay: HostileRelay, port: int, outcomes: Outcomes, asked: Collection[str], deadline: float
) -> int:
    """Kill a worker that has connections to the server at even shares of the mails; returns how often.

    Ends sooner where all mails have an outcome: a killed worker may take longer to come back than the others need.
    """
    luck = random.Random(6)
    kills = 0
    while kills < KILLS and outcomes.missing(asked):
        assert time.monotonic() < deadline, f"{kills} of {KILLS} workers were killed in time:\n{worker.said[-2000:]}"
        share = MAILS * 0.8 * (kills + 1) / (KILLS + 1)
        # One that has just been started would have nothing to lose.
        if relay.copies >= share and (busy := at_work(worker, port)):
            luck.choice(busy).kill()
            kills += 1
        outcomes.read(0.02)
    return kills


def at_work(worker: Program, port: int) -> list[psutil.Process]:
    """The workers that are connected to the server, while there are two in all."""
    processes = worker.workers()
    if len(processes) != 2:
        return []
    found = []
    for process in processes:
        try:
            connections = process.net_connections("tcp4")
        except psutil.Error:
            continue
        if any(each.raddr and each.raddr.port == port and each.status == "ESTABLISHED" for each in connections):
            found.append(process)
    return found


def check(course: Course, asked: dict[str, EmailRequested]) -> None:
    """Hold what happened against what is promised."""
    policy, relay, told, dead = course.policy, course.relay, course.told, course.dead
    assert course.kills > 0
    assert relay.copies == course.copies_before, "a request that was published again was sent again"
    assert course.again >= 2 * len(told) + len(dead)
    for id, request in asked.items():
        people = [address for address in request.to if not address.endswith(GONE)]
        got = copies_of(relay, id)
        assert not set(got) - set(people)
        if policy == "hold":
            assert max(got.values(), default=0) <= 1, (id, got)
        if id in told:
            assert sorted(told[id].accepted) == sorted(people), id
            assert all(got[address] >= 1 for address in people), id
            assert {each.address for each in told[id].refused} == set(request.to) - set(people)
        elif not people and "EffectHeld" not in dead[id]:
            assert "550 5.1.1 no such person" in dead[id], dead[id]
        else:
            # A person is asked, and nobody has it twice meanwhile; also where a refusal was lost with its worker.
            assert policy == "hold", (id, dead[id])
            assert "EffectHeld" in dead[id], dead[id]
    # A second copy only where the answer to the first was lost, or its worker was killed while it waited for it.
    by_kills = [id for id in doubled(course) if not relay.unanswered[f"{id}@example.com"]]
    assert len(by_kills) <= course.kills * CONCURRENCY


def copies_of(relay: HostileRelay, id: str) -> Counter[str]:
    """How often each person got the mail of a request."""
    return Counter(address for group in relay.taken.get(f"{id}@example.com", []) for address in group)


def doubled(course: Course) -> list[str]:
    """Requests whose mail somebody got more than once."""
    ids = (id.removesuffix("@example.com") for id in course.relay.taken)
    return [id for id in ids if max(copies_of(course.relay, id).values(), default=0) > 1]


def in_words(course: Course) -> str:
    """The counts of one policy."""
    relay, dead = course.relay, course.dead
    held = [id for id, why in dead.items() if "EffectHeld" in why]
    had = sum(bool(copies_of(relay, id)) for id in held)
    twice = doubled(course)
    lost = sum(relay.unanswered[f"{id}@example.com"] > 0 for id in twice)
    did = ", ".join(f"{count} x {what}" for what, count in sorted(relay.did.items()))
    return (
        f"\n{course.policy}: {MAILS} mails, {course.kills} worker(s) killed at work, {course.seconds:.1f} s: "
        f"{len(course.told)} told as sent, {course.copies_before} copies taken, {len(twice)} mails twice "
        f"({lost} of them after a lost answer, {len(twice) - lost} after a kill), {len(held)} held for a person "
        f"({had} of them the server had taken), {len(dead) - len(held)} refused for good. "
        f"Published again: {relay.copies - course.copies_before} sent. The server did: {did}.\n"
    )
