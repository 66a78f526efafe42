"""A scan into a file. Whatever ends it (Ctrl-C, a broker that goes away) leaves a valid file and a bookmark.

The file gets its name when it is complete in itself; until then it is `<name>.partial`. Garbage goes into
`<name>.quarantine.ndjson`, with offset and reason.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tidemill.errors import ConfigError
from tidemill.replay.bookmark import Bookmark, bookmark_path, load_bookmark, question_of
from tidemill.replay.extras import need
from tidemill.replay.formats import WRITERS, make_writer, schema_of
from tidemill.replay.interrupt import Interrupt, between_steps
from tidemill.replay.moments import Bound
from tidemill.replay.ranges import Plan
from tidemill.replay.running import Run
from tidemill.replay.tally import Quarantined, Tally

if TYPE_CHECKING:
    from tidemill.replay.scanned import Scanned

Progress = Callable[[Tally, int, int], None]
"""Called with the counts so far, the offsets passed, and the offsets in all."""


@dataclass(frozen=True)
class Exported:
    """What an export has done."""

    path: Path
    tally: Tally
    events: int
    """In the file, those of earlier parts included."""
    complete: bool
    """Whether all that was asked for is in it; otherwise it was interrupted."""


def export(
    scan: Scanned,
    path: Path,
    format_: str,
    *,
    resume: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a scan into a file.

    Args:
        scan: What to write.
        path: The file.
        format_: `parquet`, `arrow`, `csv` or `ndjson`.
        resume: Go on after what an earlier export wrote into this file: to its end in time, if it had one, else to the
            end of the topic as it is now.
        replace: Overwrite a file that exists.
        progress: Told after each some thousand events.

    Returns:
        What was done; not `complete` after Ctrl-C.

    Raises:
        ConfigError: The file exists, or can't be resumed or written.
        TidemillError: Reading failed; the file holds what was read until then, and can be resumed.
    """
    if format_ not in WRITERS:
        raise ConfigError(f"There is no format {format_!r}.", hint=f"There are {', '.join(WRITERS)}.")
    if resume:
        before = load_bookmark(path)
        scan = _resumed(scan, path, format_, before)
    else:
        before = None
        if path.exists() and not replace:
            raise ConfigError(f"{path} exists.", hint="Resume it, overwrite it, or choose another name.")
    plan = scan.plan()
    if before is not None and plan.topic_id != before.topic_id:
        raise ConfigError(
            f"Topic {plan.topic!r} was deleted and made anew since {path} was written.", hint="Export into a new file."
        )
    try:
        return _Export(scan, path, format_, plan, before, progress).write()
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}.", hint="Look at its folder.") from error


def _resumed(scan: Scanned, path: Path, format_: str, before: Bookmark) -> Scanned:
    if before.format != format_ or before.question != question_of(scan.query):
        raise ConfigError(
            f"{path} is the answer to another question: topic, format, keys, columns, condition or partitions differ.",
            hint="Repeat the command that began it, with --resume.",
        )
    try:
        schema = schema_of(format_, path)
    except (OSError, need("pyarrow", "resuming").ArrowInvalid) as error:
        raise ConfigError(f"{path} can't be resumed: {error}.", hint="Export anew.") from error
    if schema is not None and not schema.equals(scan.schema):
        raise ConfigError(
            f"The topic's schema has changed since {path} was written.", hint="Export into a new file, or name columns."
        )
    query = scan.query
    end = query.end if before.end_ms is None else Bound(before.end_ms)
    start = Bound(before.start_ms, before.next_offsets)
    return scan.of(replace(query, start=start, end=end))


class _Export:
    """One export, under way."""

    def __init__(
        self,
        scan: Scanned,
        path: Path,
        format_: str,
        plan: Plan,
        before: Bookmark | None,
        progress: Progress | None,
    ) -> None:
        self._scan, self._path, self._format, self._plan = scan, path, format_, plan
        self._before = before
        self._progress = progress
        self._offsets = dict(plan.next_offsets)
        self._quarantine: TextIO | None = None

    def write(self) -> Exported:
        partial = self._path.with_name(self._path.name + ".partial")
        previous = self._path if self._before is not None else None
        if previous is None:
            _quarantine_path(self._path).unlink(missing_ok=True)
        run = self._scan.run(plan=self._plan)
        complete = False
        with between_steps() as interrupt:
            writer = make_writer(self._format, partial, self._scan.schema, before=previous)
            try:
                complete = self._copy(run, writer, interrupt)
            finally:
                # Whatever happened, what is written so far is a valid file, and the bookmark fits it.
                writer.close()
                if self._quarantine is not None:
                    self._quarantine.close()
                partial.replace(self._path)
                events = run.tally.events + (self._before.events if self._before else 0)
                self._bookmark(events, complete).save(bookmark_path(self._path))
        return Exported(self._path, run.tally, events, complete)

    def _copy(self, run: Run, writer: Any, interrupt: Interrupt) -> bool:
        """Write piece after piece; whether it came to the end."""
        pieces = run.pieces()
        total = max(1, self._plan.offsets)
        starts = dict(self._offsets)
        try:
            while not interrupt.asked:
                piece = None
                with suppress(KeyboardInterrupt):
                    interrupt.waiting = True
                    piece = next(pieces, None)
                interrupt.waiting = False
                if piece is None:
                    break
                if piece.batch.num_rows:
                    writer.write(piece.batch)
                self._put_aside(piece.tally.quarantined)
                self._offsets |= piece.next_offsets
                if self._progress is not None:
                    done = sum(self._offsets[each] - starts[each] for each in starts)
                    self._progress(run.tally, min(done, total), total)
        finally:
            interrupt.waiting = False
            pieces.close()
        return not interrupt.asked

    def _put_aside(self, garbage: list[Quarantined]) -> None:
        if garbage and self._quarantine is None:
            self._quarantine = _quarantine_path(self._path).open("a", encoding="utf-8")
        for each in garbage:
            line = {
                "topic": each.topic,
                "partition": each.partition,
                "offset": each.offset,
                "timestamp_ms": each.timestamp_ms,
                "reason": each.reason,
                "key": None if each.key is None else each.key.decode("utf-8", "replace"),
                "value_base64": base64.b64encode(each.value).decode(),
            }
            assert self._quarantine is not None
            self._quarantine.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _bookmark(self, events: int, complete: bool) -> Bookmark:
        query = self._scan.query
        return Bookmark(
            self._plan.topic,
            self._plan.topic_id,
            self._format,
            question_of(query),
            query.start.time_ms,
            query.end.time_ms,
            self._offsets,
            events,
            complete,
        )


def _quarantine_path(path: Path) -> Path:
    return path.with_name(path.name + ".quarantine.ndjson")
