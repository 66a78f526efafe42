"""From nothing to programs that answer: ports, formatting, start, and the wait with a deadline.

Relies on the caller to hold the stack's lock. Whatever goes wrong, every program started here is ended before the error
leaves.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidemill.errors import LocalError, PortTaken
from tidemill.local import java, kafka, mailbox, ports, postmortem, readiness, record, registry
from tidemill.local.artifacts import locked
from tidemill.local.kafka import Node
from tidemill.local.layout import Layout
from tidemill.local.mailbox import MailboxPorts
from tidemill.local.program import Program, Running, marks
from tidemill.local.program import started_at as started_at_of
from tidemill.local.progress import Progress

POLL_SECONDS = 0.05
_PORT_IN_USE = ("already in use", "BindException")


class PortStolen(PortTaken):
    """Another program took a port between our look and the start; another try finds another port."""


@dataclass(frozen=True)
class Plan:
    """What is to be started.

    Args:
        brokers: How many Kafka nodes.
        kafka_port: First client port, the next brokers get the following ones; 0 for any free ones.
        registry_port: The registry's port, 0 for any free one; None for no registry.
        smtp_port: Where the mailbox takes mails, 0 for any free one; None for no mailbox.
        mailbox_port: Where it shows them, 0 for any free one.
        detached: Whether the programs outlive this process.
        kafka_settings: Further broker settings; they win.
        kafka_java: Memory and collector of each broker's JVM.
        registry_java: The same for the registry.
        timeout_seconds: Longest time until all answer, counted from the first start.
    """

    brokers: int = 1
    kafka_port: int = 9092
    registry_port: int | None = 8081
    smtp_port: int | None = None
    mailbox_port: int = 8025
    detached: bool = False
    kafka_settings: Mapping[str, str] = field(default_factory=dict)
    kafka_java: tuple[str, ...] = java.KAFKA_OPTIONS
    registry_java: tuple[str, ...] = java.REGISTRY_OPTIONS
    timeout_seconds: float = 90.0


@dataclass
class Launched:
    """What was started: the nodes, the ports of registry and mailbox, and the running programs by name."""

    nodes: list[Node]
    registry_port: int | None
    mailbox: MailboxPorts | None
    running: dict[str, Running]


def launch(plan: Plan, layout: Layout, folders: Mapping[str, Path], stack_id: str, progress: Progress) -> Launched:
    """Start everything and wait until it answers.

    Args:
        plan: What to start.
        layout: Where its data is.
        folders: Where `kafka` and `registry` were fetched to.
        stack_id: The mark of all its processes.
        progress: Told of the stages.

    Raises:
        PortStolen: A port that was free a moment ago is taken.
        LocalError: A port is taken, a program died or didn't answer in time; nothing of it runs any more.
    """
    nodes, registry_port, management_port, mailbox_ports = _choose_ports(plan)
    _prepare_folders(layout)
    launched = Launched(nodes, registry_port, mailbox_ports, {})
    deadline = time.monotonic() + plan.timeout_seconds
    try:
        if registry_port is not None:
            # First, because it takes longest; Kafka starts meanwhile.
            progress.stage(f"Starting {_title('registry')}")
            wanted = registry.program(
                folders["registry"], layout, registry_port, management_port, stack_id, plan.registry_java
            )
            _start(wanted, stack_id, plan, launched)
        if mailbox_ports is not None:
            _start(mailbox.program(layout, mailbox_ports, stack_id), stack_id, plan, launched)
        cluster = _format(plan, layout, folders["kafka"], nodes, stack_id, launched, deadline, progress)
        progress.stage(f"Starting {_title('kafka')}" + (f", {cluster.brokers} brokers" if cluster.brokers > 1 else ""))
        for node in nodes:
            _start(kafka.program(folders["kafka"], layout, node, stack_id, plan.kafka_java), stack_id, plan, launched)
        await_answers(launched, list(launched.running.values()), deadline, progress)
    except BaseException:
        for running in launched.running.values():
            running.kill()
        raise
    return launched


def await_answers(launched: Launched, watched: Sequence[Running], deadline: float, progress: Progress) -> None:
    """Wait until the watched programs answer.

    Args:
        launched: The whole stack.
        watched: Those that must answer, and must not die meanwhile.
        deadline: Of time.monotonic().
        progress: Told what is waited for.

    Raises:
        PortStolen: One died because its port was taken.
        LocalError: One died, or the deadline passed.
    """
    pending: dict[str, Callable[[], bool]] = {}
    numbers = {node.number for node in launched.nodes if f"kafka-{node.number}" in {w.name for w in watched}}
    if numbers:
        bootstrap = kafka.bootstrap_servers([node for node in launched.nodes if node.number in numbers])
        pending["Kafka"] = lambda: numbers <= readiness.brokers_answering(bootstrap)
    if launched.registry_port is not None and "registry" in {w.name for w in watched}:
        url = registry.url(launched.registry_port)
        pending["the schema registry"] = lambda: readiness.registry_answers(url)
    if launched.mailbox is not None and "mailbox" in {w.name for w in watched}:
        mailbox_url = launched.mailbox.url
        pending["the mailbox"] = lambda: readiness.mailbox_answers(mailbox_url)

    while pending:
        progress.stage(f"Waiting until {listed(list(pending))} answer{'s' if len(pending) == 1 else ''}")
        before = len(pending)
        while len(pending) == before:
            for running in watched:
                if not running.is_alive:
                    raise death(running, "before it answered")
            if time.monotonic() > deadline:
                raise _too_late(pending, watched)
            for name in [name for name, answers in pending.items() if answers()]:
                del pending[name]
            time.sleep(POLL_SECONDS)


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: `a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)


def death(running: Running, when: str) -> LocalError:
    """The error for a program that died: how, when, why (from its log), and where to read on."""
    log = postmortem.tail(running.log)
    # One that was killed from outside didn't get to write why.
    why = postmortem.reason(log) if (running.exit_status or 0) >= 0 else None
    message = f"{running.title} {postmortem.verdict(running.exit_status)} {when}" + (f": {why}" if why else ".")
    kind = PortStolen if any(sign in log for sign in _PORT_IN_USE) else LocalError
    return kind(message, hint=f"Its log: {running.log}")


def record_of(
    stack_id: str, launched: Launched, *, detached: bool, started_at: float | None = None
) -> record.StackRecord:
    """What is written down of a stack.

    Args:
        stack_id: The mark of its processes.
        launched: What runs.
        detached: Whether it outlives the command that started it.
        started_at: Seconds since the epoch; None for now.
    """
    return record.StackRecord(
        stack_id=stack_id,
        kafka_version=locked("kafka").version,
        started_at=started_at or time.time(),
        detached=detached,
        bootstrap_servers=kafka.bootstrap_servers(launched.nodes),
        registry_url=None if launched.registry_port is None else registry.url(launched.registry_port),
        smtp_address=None if launched.mailbox is None else launched.mailbox.smtp_address,
        mailbox_url=None if launched.mailbox is None else launched.mailbox.url,
        programs=tuple(
            record.ProgramRecord(
                name=each.name,
                title=each.title,
                pid=each.pid,
                port=each.port,
                log=str(each.log),
                started_at=started_at_of(each.pid),
            )
            for each in sorted(launched.running.values(), key=lambda each: each.name)
        ),
    )


def _title(name: str) -> str:
    package = locked("kafka" if name == "kafka" else "registry")
    return f"{package.title} {package.version}"


def _start(program: Program, stack_id: str, plan: Plan, launched: Launched) -> None:
    _rotate(program.log)
    launched.running[program.name] = Running.start(program, stack_id, detached=plan.detached)


def _rotate(log: Path) -> None:
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def _choose_ports(plan: Plan) -> tuple[list[Node], int | None, int, MailboxPorts | None]:
    if plan.kafka_port:
        client_ports = list(range(plan.kafka_port, plan.kafka_port + plan.brokers))
        for port in client_ports:
            ports.require_free(port, what="Kafka", option="--kafka-port")
    else:
        client_ports = ports.any_free(plan.brokers)
    registry_port = plan.registry_port
    if registry_port:
        ports.require_free(registry_port, what="the schema registry", option="--registry-port")
    taken = [*client_ports, registry_port or 0]
    mailbox_ports = None
    if plan.smtp_port is not None:
        if plan.smtp_port:
            ports.require_free(plan.smtp_port, what="the mailbox's mail server", option="--smtp-port")
        if plan.mailbox_port:
            ports.require_free(plan.mailbox_port, what="the mailbox's page", option="--mailbox-port")
        taken += [plan.smtp_port, plan.mailbox_port]
        spare_smtp, spare_page = ports.any_free(2, avoid=taken)
        mailbox_ports = MailboxPorts(plan.smtp_port or spare_smtp, plan.mailbox_port or spare_page)
        taken += [mailbox_ports.smtp, mailbox_ports.page]
    *controller_ports, spare, management_port = ports.any_free(plan.brokers + 2, avoid=taken)
    nodes = [
        Node(number, client, controller)
        for number, (client, controller) in enumerate(zip(client_ports, controller_ports, strict=True), start=1)
    ]
    return nodes, spare if registry_port == 0 else registry_port, management_port, mailbox_ports


def _prepare_folders(layout: Layout) -> None:
    shutil.rmtree(layout.temporary_dir, ignore_errors=True)
    for folder in (layout.log_dir, layout.temporary_dir, layout.registry_database.parent, layout.cluster_file.parent):
        folder.mkdir(parents=True, exist_ok=True)


def _format(
    plan: Plan,
    layout: Layout,
    folder: Path,
    nodes: Sequence[Node],
    stack_id: str,
    launched: Launched,
    deadline: float,
    progress: Progress,
) -> record.ClusterRecord:
    for node in nodes:
        settings = kafka.node_settings(node, nodes, layout.broker_data(node.number), plan.kafka_settings)
        layout.broker_config(node.number).write_text(kafka.properties(settings), encoding="ascii")
    cluster = record.read_cluster(layout.cluster_file)
    if cluster is not None:
        return cluster

    progress.stage("Preparing Kafka's data folder")
    cluster = record.ClusterRecord(kafka.new_cluster_id(), plan.brokers, locked("kafka").version)
    formatting = []
    for node in nodes:
        # Left by a formatting that was cut short: without cluster.json no broker ever ran on it.
        shutil.rmtree(layout.broker_data(node.number), ignore_errors=True)
        name = f"format-{node.number}"
        command = kafka.format_command(folder, layout, node, cluster.cluster_id, marks(stack_id, layout.state_dir))
        program = Program(name, f"Preparing the data of broker {node.number}", command, layout.log(name), 0)
        _rotate(program.log)
        running = Running.start(program, stack_id, detached=False)
        launched.running[name] = running
        formatting.append(running)
    for running in formatting:
        if not running.wait(deadline - time.monotonic()):
            raise _too_late(["Kafka's formatting"], formatting)
        if running.exit_status != 0:
            raise death(running, "without success")
        del launched.running[running.name]
    record.write_cluster(layout.cluster_file, cluster)
    return cluster


def _too_late(pending: Sequence[str] | Mapping[str, object], watched: Sequence[Running]) -> LocalError:
    logs = ", ".join(str(running.log) for running in watched)
    return LocalError(
        f"{listed(list(pending))} didn't answer in time; everything started was ended again.",
        hint=f"A busy or small machine needs more: `tidemill up --timeout 300`. The logs: {logs}",
    )
