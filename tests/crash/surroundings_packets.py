"""Packets of chosen processes, dropped in the kernel: all of them, or a share of them at random.

Relies on Linux, root, cgroup v2 and eBPF (`BPF_PROG_TYPE_CGROUP_SKB`), so that running processes on 127.0.0.1 can be
cut off: peers see silence, no reset, as when a cable is pulled. (Namespaces would want an address for each broker, and
tc a netem that many kernels lack.) Must never touch a packet of a process that isn't of this storm, nor leave anything
in the kernel: a filter ends with the process that set it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

GROUP_PREFIX = "tidemill-storm-"
_SYSCALL = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
_PROG_LOAD, _LINK_CREATE = 5, 28  # bpf(2)
_CGROUP_SKB = 8
_INGRESS, _EGRESS = 0, 1
_SK = 168  # offsetof(struct __sk_buff, sk)
_SRC_PORT = 44  # offsetof(struct bpf_sock, src_port), in the host's byte order
_GET_PRANDOM_U32 = 7


def why_not() -> str | None:
    """Why packets can't be dropped here; None where they can."""
    if sys.platform != "linux" or _SYSCALL is None:
        return f"packets can be dropped on Linux (x86_64, aarch64) only, this is {sys.platform} {platform.machine()}"
    if os.geteuid() != 0:
        return "dropping packets needs root"
    if _hierarchy() is None:
        return "no cgroup v2 is mounted"
    if not os.access(_group_of(os.getpid()), os.W_OK):
        return f"the control group {_group_of(os.getpid())} can't be written"
    try:
        os.close(_load(_instructions(None, 1.0)))
    except OSError as error:
        return f"the kernel takes no packet filter: {error}"
    return None


@contextmanager
def own_group() -> Iterator[None]:
    """A control group for this process and those that it starts from now on; within another one, that one.

    A socket belongs for ever to the group that its process was in when it was made, so this must be entered before what
    is to be cut off is started, and be left after its end.
    """
    before = _group_of(os.getpid())
    if before.name.startswith(GROUP_PREFIX):
        yield
        return
    # Storms that were killed have left theirs, without a filter, and without a process but by chance.
    for left in before.glob(f"{GROUP_PREFIX}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(GROUP_PREFIX))):
            _dissolve(left, before)
    group = before / f"{GROUP_PREFIX}{os.getpid()}"
    group.mkdir()
    try:
        _move(os.getpid(), group)
        yield
    finally:
        _dissolve(group, before)


@contextmanager
def dropped(pids: Sequence[int], share: float = 1.0) -> Iterator[None]:
    """Drop packets that these processes send and get, for the time of the block.

    Args:
        pids: Running processes that were started within `own_group`.
        share: Of the packets, up to 1 for all. The two ways are drawn one by one.

    Raises:
        RuntimeError: A process was started outside of `own_group`.
        OSError: The kernel refuses.
    """
    with contextlib.ExitStack() as undo:
        ports: set[int] = set()
        for pid in pids:
            group = _group_of(pid)
            if not group.name.startswith(GROUP_PREFIX):
                raise RuntimeError(
                    f"Process {pid} is in the group {group}, expected one of own_group(): start it within."
                )
            # Sockets to come are known by a group of the process's own, those that are there by their ports. In this
            # order: none is made in between.
            inner = group / f"dropped-{pid}"
            inner.mkdir()
            undo.callback(_dissolve, inner, group)
            _filter(inner, _instructions(None, share), undo)
            _move(pid, inner)
            ports |= {each.laddr.port for each in psutil.Process(pid).net_connections("inet") if each.laddr}
            storm = group
        if ports:
            _filter(storm, _instructions(sorted(ports), share), undo)
        yield


def _filter(group: Path, instructions: Sequence[bytes], undo: contextlib.ExitStack) -> None:
    program = _load(instructions)
    undo.callback(os.close, program)
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for way in (_INGRESS, _EGRESS):
            # A link, not an attachment: it is gone with its last descriptor, so also when this process is killed.
            undo.callback(os.close, _bpf(_LINK_CREATE, struct.pack("<IIII", program, descriptor, way, 0)))
    finally:
        os.close(descriptor)


def _dissolve(inner: Path, outer: Path) -> None:
    for each in [entry for entry in inner.iterdir() if entry.is_dir()]:
        _dissolve(each, outer)
    for pid in (inner / "cgroup.procs").read_text().split():
        _move(int(pid), outer)
    inner.rmdir()


def _move(pid: int, group: Path) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile, and is in no group any more
        (group / "cgroup.procs").write_text(str(pid))


def _hierarchy() -> Path | None:
    """Where cgroup v2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def _group_of(pid: int) -> Path:
    hierarchy = _hierarchy()
    if hierarchy is None:
        raise RuntimeError("No cgroup v2 is mounted; see why_not().")
    (line,) = [each for each in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if each.startswith("0::")]
    return hierarchy / line.removeprefix("0::").lstrip("/")


def _instructions(ports: Sequence[int] | None, share: float) -> list[bytes]:
    """A filter: of sockets with one of these local ports (all, for None), let this share fall and the rest pass.

    eBPF's calling convention: r1 is the packet, r0 the answer: 1 lets pass, 0 drops. Jumps count from the next one.
    """
    end = [_one(0xB7), _one(0x95)]  # r0 = 0; exit
    if ports is not None or share < 1:
        end += [_one(0xB7, value=1), _one(0x95)]  # r0 = 1; exit
    if share < 1:
        draw = _one(0x85, value=_GET_PRANDOM_U32)  # r0 = a random number, of which 31 bits are kept
        end = [draw, _one(0x77, value=1), _one(0x35, jump=2, value=int(share * (2**31 - 1))), *end]
    if ports is None:
        return end
    to_pass = len(end) - 2
    count = len(ports)
    return [
        _one(0x79, 1, 1, _SK),  # r1 = packet->sk
        _one(0x15, 1, jump=count + 2 + to_pass),  # no socket yet: pass
        _one(0x61, 2, 1, _SRC_PORT),  # r2 = its local port
        *(_one(0x15, 2, jump=count - number, value=port) for number, port in enumerate(ports)),
        _one(0x05, jump=to_pass),
        *end,
    ]


def _one(code: int, target: int = 0, source: int = 0, jump: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, jump, value)


def _load(instructions: Sequence[bytes]) -> int:
    """Give a program to the kernel; returns its descriptor."""
    code = ctypes.create_string_buffer(b"".join(instructions), 8 * len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    addresses = ctypes.addressof(code), ctypes.addressof(licence)
    return _bpf(
        _PROG_LOAD, struct.pack("<IIQQIIQII16s", _CGROUP_SKB, len(instructions), *addresses, 0, 0, 0, 0, 0, b"storm")
    )


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    descriptor = libc.syscall(_SYSCALL, command, buffer, len(attributes))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), f"bpf(2): {os.strerror(ctypes.get_errno())}")
    os.set_inheritable(descriptor, False)
    return int(descriptor)
