"""How far an export came: a small JSON file beside it, by which `--resume` goes on exactly there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import ConfigError
from tidemill.replay.query import Query


@dataclass(frozen=True)
class Bookmark:
    """What is in a file, and where the topic goes on after it."""

    topic: str
    """With its namespace."""
    topic_id: str
    format: str
    question: str
    """A fingerprint of keys, columns, condition and partitions: a file holds the answer to one question."""
    start_ms: int | None
    end_ms: int | None
    next_offsets: dict[int, int]
    events: int
    complete: bool
    size_bytes: int
    """Of the file, as far as it counts."""
    quarantine_bytes: int
    """Likewise of what was put aside; 0 where nothing was."""

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def partial_path(path: Path) -> Path:
    """Where an export lies until it is a valid file."""
    return path.with_name(path.name + ".partial")


def quarantine_path(path: Path) -> Path:
    """Where an export puts aside what can't be read."""
    return path.with_name(path.name + ".quarantine.ndjson")


def bookmark_path(path: Path) -> Path:
    """Where the bookmark of a file lies."""
    return path.with_name(path.name + ".replay.json")


def last_state(path: Path) -> tuple[Bookmark, Path]:
    """How far an export came, and the file that holds so much of it: the export's own, or what a killed one left.

    Raises:
        ConfigError: There is nothing to go on with, or it was changed meanwhile.
    """
    partial = partial_path(path)
    if bookmark_path(partial).exists():
        state = load_bookmark(partial)
        if _has(partial, state):
            return state, partial
        if _size(path) == state.size_bytes:
            # It got its name, and then no time was left for its bookmark.
            return state, path
    state = load_bookmark(path)
    if _size(path) != state.size_bytes:
        raise ConfigError(
            f"{path} has {_size(path):,} bytes, and had {state.size_bytes:,} when its bookmark was written.",
            hint="Somebody changed it: export anew, into another file.",
        )
    return state, path


def _has(path: Path, state: Bookmark) -> bool:
    return path.exists() and _size(path) >= state.size_bytes


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def load_bookmark(path: Path) -> Bookmark:
    """The bookmark of a file.

    Raises:
        ConfigError: There is none, or it can't be read.
    """
    where = bookmark_path(path)
    try:
        found: dict[str, Any] = json.loads(where.read_text(encoding="utf-8"))
        offsets = {int(partition): int(offset) for partition, offset in found.pop("next_offsets").items()}
        return Bookmark(**found, next_offsets=offsets)
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is nothing to resume: {where} doesn't exist.", hint="Export without resuming first."
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where} can't be read: {error}.", hint="Delete it, and export anew.") from error


def question_of(query: Query) -> str:
    """A fingerprint of what decides which rows and columns an export has, its range left out."""
    asked = [
        query.topic,
        None if query.keys is None else sorted(key.hex() for key in query.keys),
        query.columns,
        None if query.where is None else str(query.where),
        None if query.partitions is None else sorted(query.partitions),
        query.prune,
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
