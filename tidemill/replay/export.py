"""A scan into a file. Whatever ends it (Ctrl-C, a broker that goes away) leaves a valid file and a bookmark.

The file gets its name when it is complete in itself; until then it is `<name>.partial`, with a bookmark of its own that
is renewed every few seconds, so that even an export that was killed goes on exactly. Garbage goes into
`<name>.quarantine.ndjson`, with offset and reason.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tidemill.errors import ConfigError
from tidemill.replay.bookmark import (
    Bookmark,
    bookmark_path,
    last_state,
    partial_path,
    quarantine_path,
    question_of,
)
from tidemill.replay.extras import need
from tidemill.replay.formats import WRITERS, Writer, make_writer, schema_of
from tidemill.replay.interrupt import Interrupt, between_steps
from tidemill.replay.moments import Bound
from tidemill.replay.ranges import Plan
from tidemill.replay.running import Piece, Run
from tidemill.replay.tally import Quarantined, Tally

if TYPE_CHECKING:
    from tidemill.replay.scanned import Scanned

CHECKPOINT_SECONDS = 5.0
"""How much work an export loses that is killed."""

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
        before, source = last_state(path)
        scan = _resumed(scan, source, format_, before)
    else:
        before, source = None, None
        _check_free(path, replace=replace)
    plan = scan.plan()
    if before is not None and plan.topic_id != before.topic_id:
        raise ConfigError(
            f"Topic {plan.topic!r} was deleted and made anew since {path} was written.", hint="Export into a new file."
        )
    try:
        return _Export(scan, path, format_, plan, before, source, progress).write()
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}.", hint="Look at its folder.") from error


def _check_free(path: Path, *, replace: bool) -> None:
    if replace:
        return
    if path.exists():
        raise ConfigError(
            f"{path} exists.", hint="Go on with it (--resume), overwrite it (--replace), or choose another name."
        )
    if bookmark_path(partial_path(path)).exists():
        raise ConfigError(
            f"An export into {path} was killed, and what it had is still there.",
            hint="Resume it, overwrite it, or choose another name.",
        )


def _resumed(scan: Scanned, path: Path, format_: str, before: Bookmark) -> Scanned:
    if before.format != format_ or before.question != question_of(scan.query):
        raise ConfigError(
            f"{path} is the answer to another question: topic, format, keys, columns, condition or partitions differ.",
            hint="Repeat the command that began it, with --resume.",
        )
    try:
        schema = schema_of(format_, path) if before.size_bytes else None
    except (OSError, need("pyarrow", "resuming").ArrowInvalid) as error:
        raise ConfigError(f"{path} can't be resumed: {error}.", hint="Export anew.") from error
    if schema is not None and not schema.equals(scan.schema):
        raise ConfigError(
            f"The topic's schema has changed since {path} was written.", hint="Export into a new file, or name columns."
        )
    query = scan.query
    end = query.end if before.end_ms is None else Bound(before.end_ms)
    # Partitions that the topic got since then are read from where the query begins, unless it names its partitions.
    start = Bound(before.start_ms, before.next_offsets, only_these=query.start.offsets is not None)
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
        source: Path | None,
        progress: Progress | None,
    ) -> None:
        self._scan, self._path, self._format, self._plan = scan, path, format_, plan
        self._before, self._source = before, source
        self._partial = partial_path(path)
        self._progress = progress
        self._offsets = dict(plan.next_offsets)
        self._tally = Tally()
        self._quarantine: BinaryIO | None = None
        self._is_torn = False

    def write(self) -> Exported:
        run = self._scan.run(plan=self._plan)
        with between_steps() as interrupt:
            writer = self._begin()
            complete = False
            try:
                complete = self._copy(run, writer, interrupt)
            finally:
                self._tally.gaps = run.gaps
                if self._is_torn:
                    # It is left as it was at its last checkpoint, which whoever resumes goes back to.
                    with suppress(Exception):
                        writer.close()
                else:
                    # Whatever happened, what is written so far is a valid file, and the bookmark fits it.
                    self._finish(writer, complete)
        return Exported(self._path, self._tally, self._events, complete)

    @property
    def _events(self) -> int:
        return self._tally.events + (self._before.events if self._before else 0)

    def _begin(self) -> Writer:
        """Everything as it was at the last checkpoint; the first one is now."""
        own, before = bookmark_path(self._partial), self._before
        if self._source != self._partial:
            # Until it is copied, what it was copied from is what counts.
            own.unlink(missing_ok=True)
        aside = quarantine_path(self._path)
        if before is None or not before.quarantine_bytes:
            aside.unlink(missing_ok=True)
        elif aside.exists():
            os.truncate(aside, before.quarantine_bytes)
        if before is None or not before.size_bytes:
            writer = make_writer(self._format, self._partial, self._scan.schema)
        else:
            writer = make_writer(
                self._format, self._partial, self._scan.schema, before=self._source, size_bytes=before.size_bytes
            )
        # A writer's own first bytes are no rows: without any, it begins anew.
        size_bytes = writer.checkpoint() if before is not None and before.size_bytes else 0
        self._bookmark(size_bytes, complete=False).save(own)
        return writer

    def _finish(self, writer: Writer, complete: bool) -> None:
        writer.close()
        if self._quarantine is not None:
            self._quarantine.close()
        state = self._bookmark(_synced_size(self._partial), complete)
        # Whenever it ends between these steps, one of the two bookmarks fits a file that is there.
        state.save(bookmark_path(self._partial))
        self._partial.replace(self._path)
        state.save(bookmark_path(self._path))
        bookmark_path(self._partial).unlink()

    def _copy(self, run: Run, writer: Writer, interrupt: Interrupt) -> bool:
        """Write piece after piece; whether it came to the end."""
        pieces = run.pieces()
        total = max(1, self._plan.offsets)
        starts = dict(self._offsets)
        saved_at = time.monotonic()
        try:
            while not interrupt.asked:
                piece = None
                with suppress(KeyboardInterrupt):
                    interrupt.waiting = True
                    piece = next(pieces, None)
                interrupt.waiting = False
                if piece is None:
                    break
                self._is_torn = True
                self._take(piece, writer)
                if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self._bookmark(writer.checkpoint(), complete=False).save(bookmark_path(self._partial))
                    saved_at = time.monotonic()
                self._is_torn = False
                if self._progress is not None:
                    done = sum(self._offsets[each] - starts[each] for each in starts)
                    self._progress(self._tally, min(done, total), total)
        finally:
            interrupt.waiting = False
            pieces.close()
        return not interrupt.asked

    def _take(self, piece: Piece, writer: Writer) -> None:
        if piece.batch.num_rows:
            writer.write(piece.batch)
        self._put_aside(piece.tally.quarantined)
        self._offsets |= piece.next_offsets
        self._tally.add(piece.tally)

    def _put_aside(self, garbage: list[Quarantined]) -> None:
        if garbage and self._quarantine is None:
            self._quarantine = quarantine_path(self._path).open("ab")
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
            self._quarantine.write((json.dumps(line, ensure_ascii=False) + "\n").encode())

    def _bookmark(self, size_bytes: int, complete: bool) -> Bookmark:
        query = self._scan.query
        return Bookmark(
            self._plan.topic,
            self._plan.topic_id,
            self._format,
            question_of(query),
            query.start.time_ms,
            query.end.time_ms,
            self._offsets,
            self._events,
            complete,
            size_bytes,
            self._quarantine_bytes(),
        )

    def _quarantine_bytes(self) -> int:
        if self._quarantine is not None and not self._quarantine.closed:
            self._quarantine.flush()
            os.fsync(self._quarantine.fileno())
        aside = quarantine_path(self._path)
        return aside.stat().st_size if aside.exists() else 0


def _synced_size(path: Path) -> int:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size
