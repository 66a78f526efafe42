"""The local stack: a real Kafka, a real schema registry and a mailbox on 127.0.0.1, as one object.

    with Stack.start(settings, kafka_port=0, registry_port=0, smtp_port=0, mailbox_port=0) as stack:
        publish(stack.settings)

Relies on a file lock against two commands that start or stop it at once. Must never leave a program running after an
error or after `stop()`, and never signal a process that isn't its own.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from tidemill.config import Settings
from tidemill.errors import LocalError
from tidemill.local import cache, java, kafka, mailbox, program, record, state_folder
from tidemill.local.artifacts import PackageName, locked
from tidemill.local.broker import Broker
from tidemill.local.kafka import Node
from tidemill.local.launch import Launched, Plan, PortStolen, launch, record_of
from tidemill.local.layout import Layout
from tidemill.local.program import Running
from tidemill.local.progress import Progress, Silent

STOP_SECONDS = 20.0
PORT_TRIES = 3


class Stack:
    """A running local stack. Made by `Stack.start` or `Stack.find`."""

    def __init__(
        self,
        settings: Settings,
        launched: Launched,
        stack: record.StackRecord,
        *,
        folders: Mapping[str, Path],
        plan: Plan,
    ) -> None:
        self._settings = settings
        self._layout = Layout(settings.state_dir.absolute())
        self._launched = launched
        self._record = stack
        self._folders = folders
        self._plan = plan
        self.started_here = True

    @classmethod
    def start(
        cls,
        settings: Settings,
        *,
        brokers: int = 1,
        kafka_port: int = 9092,
        registry_port: int = 8081,
        with_registry: bool = True,
        smtp_port: int | None = None,
        mailbox_port: int = 8025,
        detached: bool = False,
        kafka_settings: Mapping[str, str] | None = None,
        kafka_java: tuple[str, ...] = java.KAFKA_OPTIONS,
        registry_java: tuple[str, ...] = java.REGISTRY_OPTIONS,
        timeout_seconds: float = 90.0,
        progress: Progress | None = None,
    ) -> Stack:
        """Start Kafka, registry and mailbox, and return when all answer. If they are up already, return those.

        Args:
            settings: `state_dir` and `cache_dir` are used.
            brokers: Number of Kafka brokers; 3 gives replication 3 and min.insync.replicas 2.
            kafka_port: Port of the first broker, the next ones get the following; 0 for any free ones.
            registry_port: Port of the registry; 0 for any free one.
            with_registry: False starts none.
            smtp_port: Where the mailbox takes mails, `tidemill up` has 1025; 0 for any free one; None for no mailbox.
            mailbox_port: Where it shows them; 0 for any free one.
            detached: True lets them outlive this process; otherwise they end with it, however it ends (on Linux; on
                other systems the next start or stop finds and ends what a killed process left).
            kafka_settings: Further broker settings by Kafka's names; they win over ours.
            kafka_java: Memory and garbage collector of each broker, as JVM options.
            registry_java: The same for the registry.
            timeout_seconds: Longest time from the start until all answer; fetching is not counted.
            progress: Told of stages and of what is fetched.

        Returns:
            The stack; `started_here` is False if it was up already.

        Raises:
            LocalError: Not fetched, port taken, data of another number of brokers, a program died or didn't answer.
                Nothing of it runs any more.
        """
        progress = progress or Silent()
        if not 1 <= brokers <= 9:
            raise LocalError(
                f"{brokers} brokers were asked for, expected 1 to 9.", hint="Use 1, or 3 to test failures."
            )
        plan = Plan(
            brokers=brokers,
            kafka_port=kafka_port,
            registry_port=registry_port if with_registry else None,
            smtp_port=smtp_port,
            mailbox_port=mailbox_port,
            detached=detached,
            kafka_settings=kafka_settings or {},
            kafka_java=kafka_java,
            registry_java=registry_java,
            timeout_seconds=timeout_seconds,
        )
        layout = state_folder.prepare(settings)
        # Not under the lock: on a slow line the first fetch takes minutes, and it has a lock of its own.
        folders = _fetch(settings, with_registry, progress)
        with state_folder.exclusive(layout, progress):
            found = cls.find(settings)
            if found is not None and not found.dead:
                return found._checked(plan)
            state_folder.require_brokers(layout, brokers)
            state_folder.end_leftovers(layout, progress)
            stack_id = uuid.uuid4().hex
            launched = _launch(plan, layout, folders, stack_id, progress)
            try:
                stack = record_of(stack_id, launched, detached=detached)
                record.write(layout.stack_file, stack)
                return cls(settings, launched, stack, folders=folders, plan=plan)
            except BaseException:
                # A full disk or Ctrl-C at this point must not leave programs that no record names.
                program.stop_all(list(launched.running.values()), timeout_seconds=0)
                raise

    @classmethod
    def find(cls, settings: Settings) -> Stack | None:
        """The stack that runs for this state folder, whoever started it; None if none does.

        Some of its programs may have died: see `dead`.
        """
        layout = Layout(settings.state_dir.absolute())
        found = record.read(layout.stack_file)
        if found is None:
            return None
        running = {p.name: Running(p.name, p.title, p.pid, found.stack_id, Path(p.log), p.port) for p in found.programs}
        if not any(each.is_alive for each in running.values()):
            return None
        nodes = [
            Node(int(p.name.removeprefix("kafka-")), p.port, 0) for p in found.programs if p.name.startswith("kafka-")
        ]
        registry_port = running["registry"].port if "registry" in running else None
        folders: dict[str, Path] = {
            name: settings.cache_dir.absolute() / locked(name).folder_name
            for name in _package_names(registry_port is not None)
        }
        plan = Plan(brokers=len(nodes), detached=found.detached)
        stack = cls(
            settings,
            Launched(nodes, registry_port, mailbox.ports_of(found), running),
            found,
            folders=folders,
            plan=plan,
        )
        stack.started_here = False
        return stack

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's addresses, host:port, comma-separated."""
        return self._record.bootstrap_servers

    @property
    def registry_url(self) -> str | None:
        """Address of the registry's Confluent-compatible API; None if it was started without."""
        return self._record.registry_url

    @property
    def smtp_address(self) -> str | None:
        """Where the mailbox takes mails, host:port; None if it was started without."""
        return self._record.smtp_address

    @property
    def mailbox_url(self) -> str | None:
        """Where the mailbox shows its mails; None if it was started without."""
        return self._record.mailbox_url

    @property
    def settings(self) -> Settings:
        """The settings that it was started with, its addresses filled in."""
        addresses = {"bootstrap_servers": self.bootstrap_servers}
        if self.registry_url is not None:
            addresses["registry_url"] = self.registry_url
        return self._settings.model_copy(update=addresses)

    @property
    def programs(self) -> list[Running]:
        """Its programs: brokers first, then mailbox and registry."""
        return sorted(self._launched.running.values(), key=lambda each: each.name)

    @property
    def dead(self) -> list[Running]:
        """Those of its programs that have ended."""
        return [each for each in self.programs if not each.is_alive]

    @property
    def description(self) -> record.StackRecord:
        """What is known about it: versions, addresses, since when."""
        return self._record

    @property
    def log_dir(self) -> Path:
        """Folder of all logs."""
        return self._layout.log_dir

    @property
    def data_bytes(self) -> int:
        """What topics, schemas, mails and logs take on the disk."""
        return state_folder.disk_bytes(self._layout)

    @property
    def brokers(self) -> list[Broker]:
        """All brokers, in order of their numbers."""
        return [self.broker(node.number) for node in self._launched.nodes]

    def broker(self, number: int) -> Broker:
        """One broker, to be killed, paused or restarted in tests of failure.

        Args:
            number: From 1.

        Raises:
            LocalError: There is no such broker.
        """
        nodes = {node.number: node for node in self._launched.nodes}
        if number not in nodes:
            raise LocalError(
                f"There is no broker {number}, only {', '.join(map(str, nodes))}.",
                hint="`brokers=3` starts three of them.",
            )
        node = nodes[number]
        wanted = kafka.program(self._folders["kafka"], self._layout, node, self._record.stack_id, self._plan.kafka_java)
        return Broker(node, wanted, self._launched, self._plan, self._record.stack_id, self._write_record)

    def watch(self, *, poll_seconds: float = 0.25) -> Running | None:
        """Block until one of its programs ends.

        Args:
            poll_seconds: How often to look.

        Returns:
            The program that died, or None if another command took the stack down on purpose.
        """
        while not (dead := self.dead):
            time.sleep(poll_seconds)
        now = record.read(self._layout.stack_file)
        on_purpose = now is None or now.stack_id != self._record.stack_id
        return None if on_purpose else dead[0]

    def stop(
        self, *, wipe: bool = False, timeout_seconds: float = STOP_SECONDS, progress: Progress | None = None
    ) -> None:
        """End all its programs; does nothing to those that have ended.

        Args:
            wipe: Also delete topics, schemas, mails and logs; objects in the object store stay.
            timeout_seconds: How long they may take to end by themselves before SIGKILL.
            progress: Told of the stages.

        Raises:
            LocalError: A process can't be ended, or files can't be deleted.
        """
        progress = progress or Silent()
        with state_folder.exclusive(self._layout, progress):
            now = record.read(self._layout.stack_file)
            ours = now is not None and now.stack_id == self._record.stack_id
            if ours:
                # First, so that whoever watches it sees that its programs are meant to end. Nothing is written: a full
                # disk must not keep anybody from stopping. If this process dies now, the marks tell what is left.
                self._layout.stack_file.unlink()
            progress.stage("Stopping the local stack")
            program.stop_all(self.programs, timeout_seconds)
            if ours:
                shutil.rmtree(self._layout.temporary_dir, ignore_errors=True)
            if wipe:
                state_folder.delete(self._layout)

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.started_here:
            self.stop()

    def __repr__(self) -> str:
        return f"<Stack {self.bootstrap_servers} {self.registry_url} {self.programs}>"

    def _checked(self, plan: Plan) -> Stack:
        if len(self._launched.nodes) != plan.brokers:
            raise LocalError(
                f"The local stack is up with {len(self._launched.nodes)} broker(s), {plan.brokers} were asked for.",
                hint="`tidemill down --wipe` stops it and deletes its data; then start it with the other number.",
            )
        if plan.registry_port is not None and self.registry_url is None:
            raise LocalError(
                "The local stack is up without a schema registry.", hint="`tidemill down`, then `tidemill up`."
            )
        if plan.smtp_port is not None and self.smtp_address is None:
            raise LocalError("The local stack is up without a mailbox.", hint="`tidemill down`, then `tidemill up`.")
        return self

    def _write_record(self) -> None:
        now = record.read(self._layout.stack_file)
        if now is not None and now.stack_id != self._record.stack_id:
            return  # another stack was started for this folder meanwhile
        self._record = record_of(
            self._record.stack_id,
            self._launched,
            detached=self._record.detached,
            started_at=self._record.started_at,
        )
        record.write(self._layout.stack_file, self._record)


def wipe(settings: Settings) -> None:
    """Delete the data of a stack that isn't up: topics, schemas, mails and logs; objects in the object store stay.

    Raises:
        LocalError: It is up, or files can't be deleted.
    """
    layout = state_folder.prepare(settings)
    with state_folder.exclusive(layout, Silent()):
        if Stack.find(settings) is not None:
            raise LocalError("The local stack is up.", hint="`tidemill down --wipe` stops it first.")
        state_folder.end_leftovers(layout, Silent())
        state_folder.delete(layout)


def clean_up(settings: Settings) -> None:
    """End programs that a killed command left, and remove a `stack.json` whose programs are gone.

    Does nothing while another command starts or stops the stack, or if there never was one.
    """
    layout = Layout(settings.state_dir.absolute())
    if not layout.lock_file.exists() and not layout.stack_file.exists():
        return
    try:
        with FileLock(layout.lock_file, timeout=0):
            if Stack.find(settings) is None:
                state_folder.end_leftovers(layout, Silent())
    except Timeout:
        return


def _package_names(with_registry: bool) -> list[PackageName]:
    return ["kafka", "registry"] if with_registry else ["kafka"]


def _fetch(settings: Settings, with_registry: bool, progress: Progress) -> dict[str, Path]:
    names = _package_names(with_registry)
    packages = [locked(name) for name in names]
    folders = cache.ensure(packages, settings.cache_dir.absolute(), progress=progress)
    return dict(zip(names, folders, strict=True))


def _launch(plan: Plan, layout: Layout, folders: Mapping[str, Path], stack_id: str, progress: Progress) -> Launched:
    try:
        for _ in range(PORT_TRIES - 1):
            try:
                return launch(plan, layout, folders, stack_id, progress)
            except PortStolen:
                progress.stage("A port was taken meanwhile; trying again")
        return launch(plan, layout, folders, stack_id, progress)
    except OSError as error:
        raise LocalError(
            f"The state folder {layout.state_dir} can't be written: {error}.",
            hint="Make room or mend its permissions, or set TIDEMILL_STATE_DIR to another folder.",
        ) from error
