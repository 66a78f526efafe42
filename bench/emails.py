"""How fast mails go out: the e-mail stream in two processes beside Celery prefork in two, a connection for each mail.

Against a relay that answers each command after 20 ms, and against one that answers at once. Both fill in the same
template with its picture; both find all mails waiting when they start, and what is measured is the pace at which the
relay gets the last four fifths of them. The stream also keeps a ledger of effects, publishes an outcome, and commits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.catalogue import PEERS_PYTHON
from bench.figures import Figure, median_of, not_reached, ratios
from bench.ground import Ground, program_variables
from bench.mail_sink import MailSink, mail_sink
from bench.programs import Program, running
from tidemill.config import Settings
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.topics import apply, house_topics

TEMPLATES = Path(__file__).parents[1] / "examples/email/templates"
PROCESSES = 2
MOST_SECONDS = 120.0
CELERY = "bench.contenders.celery_emails"


@dataclass(frozen=True)
class Relay:
    """One kind of relay: its distance, how many mails each contender sends it, and what we should reach."""

    name: str
    latency_seconds: float
    ours: int
    celery: int
    least: float


RELAYS = (
    Relay("a relay at 20 ms", 0.02, ours=3_000, celery=100, least=10),
    Relay("a relay that answers at once", 0.0, ours=5_000, celery=600, least=3),
)


def run(ground: Ground) -> list[Figure]:
    """Mails per second of both, and how many times as many ours are."""
    figures: list[Figure] = []
    for relay in RELAYS:
        ours: list[float] = []
        theirs: list[float] = []
        for number in ground.rounds:
            if ground.redis is not None and PEERS_PYTHON.exists():
                theirs.append(celery_mails_per_second(ground, relay))
                ground.say(f"{relay.name}: Celery {theirs[-1]:,.1f} mails/s")
            ours.append(stream_mails_per_second(ground, relay, f"emails-{relay.ours}-{number}"))
            ground.say(f"{relay.name}: stream {ours[-1]:,.1f} mails/s")
        name = f"mails to {relay.name}"
        figures.append(median_of(name, ours, "mails/s", contender="tidemill"))
        if theirs:
            figures.append(median_of(name, theirs, "mails/s", contender="celery"))
            figures.append(
                median_of(f"{name}, beside Celery", ratios(ours, theirs), "x", contender="tidemill", least=relay.least)
            )
        else:
            figures.append(not_reached(name, "mails/s", contender="celery", note="needs `make bench-peers` and Redis"))
    return figures


def stream_mails_per_second(ground: Ground, relay: Relay, name: str) -> float:
    """The pace of the e-mail stream.

    Args:
        ground: Kafka.
        relay: What it sends to.
        name: Of the namespace and the ledger.
    """
    count = ground.few(relay.ours)
    settings = ground.settings.model_copy(update={"namespace": f"{name}."})
    contracts = [EmailRequested.__contract__, EmailSent.__contract__]
    apply(settings, contracts, house=house_topics())
    with Registry(settings) as registry:
        register_contracts(registry, contracts, dry_run=False)
    context = (TEMPLATES / "welcome.context.json").read_text(encoding="utf-8")
    with Publisher(settings) as publisher:
        for number in range(count):
            publisher.publish(EmailRequested(to=[f"u{number}@example.com"], template="welcome", context=context))
    with mail_sink(relay.latency_seconds) as sink, _worker(settings, sink, name) as worker:
        return sink.rate_per_second(count // 5, count, MOST_SECONDS, worker)


@contextmanager
def _worker(settings: Settings, sink: MailSink, name: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "tidemill", "worker", "streams.email.handler:email"]
    variables = program_variables(
        settings,
        TIDEMILL_EMAIL_PORT=str(sink.port),
        TIDEMILL_EMAIL_TEMPLATES=str(TEMPLATES),
        TIDEMILL_EMAIL_SENDER="Tidemill <hello@example.com>",
        TIDEMILL_EFFECTS_URL=f"sqlite:///{settings.state_dir}/{name}.db",
        TIDEMILL_LOG_LEVEL="warning",
    )
    with running([*command, "--processes", str(PROCESSES)], variables) as worker:
        yield worker


def celery_mails_per_second(ground: Ground, relay: Relay) -> float:
    """The pace of Celery.

    Args:
        ground: Redis.
        relay: What it sends to.
    """
    assert ground.redis is not None
    ground.empty_redis()
    count = ground.few(relay.celery)
    with mail_sink(relay.latency_seconds) as sink:
        variables = program_variables(
            ground.settings,
            BENCH_REDIS=ground.redis.url,
            BENCH_SMTP_PORT=str(sink.port),
            BENCH_COUNT=str(count),
        )
        with running([PEERS_PYTHON, "-m", CELERY], variables) as publishing:
            publishing.wait(MOST_SECONDS)
        options = ["--loglevel", "warning", "--pool", "prefork", "--concurrency", str(PROCESSES)]
        with running([PEERS_PYTHON, "-m", "celery", "-A", CELERY, "worker", *options], variables) as worker:
            return sink.rate_per_second(count // 5, count, MOST_SECONDS, worker)
