"""What runs, on disk: `stack.json`, there only while the stack is up; and for what the Kafka data was formatted.

Other commands read the addresses from it (`tidemill.config`). Written whole or not at all.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tidemill.errors import LocalError


@dataclass(frozen=True)
class ProgramRecord:
    """One running program: name, title, process id, port, log, and when it began (seconds since the epoch)."""

    name: str
    title: str
    pid: int
    port: int
    log: str
    started_at: float | None


@dataclass(frozen=True)
class StackRecord:
    """A running stack.

    Args:
        stack_id: The mark that its processes carry.
        kafka_version: Version of Kafka.
        started_at: When it was up, seconds since the epoch.
        detached: Whether it outlives the command that started it.
        bootstrap_servers: Kafka's addresses.
        registry_url: The registry's address; None without one.
        programs: What runs.
        smtp_address: Where the mailbox takes mails, host:port; None without one.
        mailbox_url: Where it shows them.
    """

    stack_id: str
    kafka_version: str
    started_at: float
    detached: bool
    bootstrap_servers: str
    registry_url: str | None
    programs: tuple[ProgramRecord, ...]
    smtp_address: str | None = None
    mailbox_url: str | None = None


def write(path: Path, record: StackRecord) -> None:
    """Write the record; readers see the old one or the new one, never half.

    Raises:
        LocalError: It can't be written; the old one is still there.
    """
    # The settings' sources take what is there as an address.
    _replace_json(path, {name: value for name, value in asdict(record).items() if value is not None})


def read(path: Path) -> StackRecord | None:
    """The record, or None if there is none or it can't be understood (then nothing of it can be trusted)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        programs = tuple(ProgramRecord(**program) for program in content.pop("programs"))
        return StackRecord(**{"registry_url": None, **content}, programs=programs)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(frozen=True)
class ClusterRecord:
    """For what the Kafka data on disk was formatted.

    Args:
        cluster_id: The cluster's id.
        brokers: How many brokers it has.
        kafka_version: The version that formatted it.
    """

    cluster_id: str
    brokers: int
    kafka_version: str


def write_cluster(path: Path, record: ClusterRecord) -> None:
    """Write it; done only when every node has been formatted."""
    _replace_json(path, asdict(record))


def read_cluster(path: Path) -> ClusterRecord | None:
    """What the data was formatted for; None if there is none.

    Raises:
        LocalError: The file is damaged.
    """
    try:
        return ClusterRecord(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LocalError(
            f"{path} can't be understood: {error}.",
            hint="`tidemill down --wipe` deletes the local topics and schemas; then run `tidemill up`.",
        ) from error


def _replace_json(path: Path, content: object) -> None:
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise LocalError(
            f"{path} can't be written: {error}.",
            hint="Make room or mend its permissions, or set TIDEMILL_STATE_DIR to another folder.",
        ) from error
