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

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def bookmark_path(path: Path) -> Path:
    """Where the bookmark of an export lies."""
    return path.with_name(path.name + ".replay.json")


def load_bookmark(path: Path) -> Bookmark:
    """The bookmark of an export.

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
