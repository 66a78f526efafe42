"""What an export or a query has read, in the end: for people a few lines, for programs one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tidemill.cli.replay_rows import printable
from tidemill.cli.replay_words import count_text, size_text, span_text, time_text
from tidemill.cli.terminal import err, out, print_json

if TYPE_CHECKING:
    from tidemill.replay import Scan, Tally

SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Summary:
    """What an export has done."""

    path: Path
    tally: Tally
    events: int
    """In the file, those of earlier parts included."""
    complete: bool
    seconds: float


def show_summary(summary: Summary, *, as_json: bool) -> None:
    """The result: on standard output how many, on standard error what couldn't be read.

    Args:
        summary: What was done.
        as_json: One JSON object on standard output instead.
    """
    tally, seconds = summary.tally, summary.seconds
    size_bytes = summary.path.stat().st_size
    if as_json:
        shown: dict[str, Any] = {
            "file": str(summary.path),
            "file_bytes": size_bytes,
            "events_in_file": summary.events,
            "complete": summary.complete,
            "seconds": round(seconds, 3),
            "events_per_second": round(tally.read / max(seconds, 1e-3)),
        }
        print_json(shown | tally_json(tally))
        return
    mark = "[green]✓[/]" if summary.complete else "[yellow]…[/]"
    before = summary.events - tally.events
    added = f" after the {before:,} that were there" if before else ""
    rate = f"{tally.read / max(seconds, 1e-3):,.0f}/s"
    out.print(f"{mark} {count_text(tally.events, 'event')}{added} in {span_text(seconds)} ({rate})")
    out.print(f"  {summary.path}, {size_text(size_bytes)}", markup=False, soft_wrap=True)
    show_left_out(tally, quarantine=summary.path.with_name(summary.path.name + ".quarantine.ndjson"))


def tally_json(tally: Tally) -> dict[str, Any]:
    """The counts of a run for JSON; `read` is the sum of `events`, `filtered`, `tombstones` and `garbage`."""
    return {
        "read": tally.read,
        "read_bytes": tally.read_bytes,
        "events": tally.events,
        "filtered": tally.filtered,
        "tombstones": tally.tombstones,
        "garbage": tally.garbage,
        "first_garbage": [
            {"partition": each.partition, "offset": each.offset, "reason": each.reason}
            for each in tally.quarantined[:SHOWN_FAULTS]
        ],
        "gaps": [{"partition": gap.partition, "from": gap.start, "before": gap.end} for gap in tally.gaps],
    }


def show_left_out(tally: Tally, *, quarantine: Path | None = None) -> None:
    """On standard error, what a run has left out and why: other events, tombstones, garbage, what retention took.

    Args:
        tally: Its counts.
        quarantine: The file in which the garbage is.
    """
    if tally.read != tally.events:
        left = [f"{tally.filtered:,} that didn't fit"] if tally.filtered else []
        left += [count_text(tally.tombstones, "tombstone")] if tally.tombstones else []
        left += [f"{tally.garbage:,} that can't be read"] if tally.garbage else []
        read = f"{count_text(tally.read, 'event')} read ({size_text(tally.read_bytes)})"
        err.print(f"  {read}; left out: {', '.join(left)}", markup=False, soft_wrap=True)
    show_faults(tally)
    if quarantine is not None and tally.quarantined:
        err.print(f"  put aside, with their bytes: {quarantine}", markup=False, soft_wrap=True)


def show_faults(tally: Tally) -> None:
    """On standard error: the first events that couldn't be read, and what retention had taken.

    Args:
        tally: The counts of a run.
    """
    for each in tally.quarantined[:SHOWN_FAULTS]:
        place = Text(f"  can't be read: {each.partition}:{each.offset}", "red")
        err.print(place.append(f"  {printable(each.reason)}", "default"), soft_wrap=True)
    if tally.garbage > SHOWN_FAULTS and tally.quarantined:
        err.print(f"  ... and {tally.garbage - SHOWN_FAULTS:,} more that can't be read", soft_wrap=True)
    for gap in tally.gaps:
        err.print(f"  [yellow]retention had taken[/] {gap}", soft_wrap=True)


def show_estimate(scan: Scan, *, as_json: bool) -> None:
    """How much a scan would read.

    Args:
        scan: Of which events.
        as_json: As JSON.

    Raises:
        TidemillError: As `Scan.plan` and `Scan.schema`.
    """
    columns = list(scan.schema.names)
    plan = scan.plan()
    guess = scan.estimate()
    rows = [{"partition": each.partition, "from": each.start, "before": each.end} for each in plan.ranges]
    if as_json:
        print_json(
            {
                "topic": scan.query.topic,
                "events": guess.events,
                "bytes": guess.bytes,
                "seconds": guess.seconds,
                "columns": columns,
                "partitions": rows,
                "gaps": [{"partition": gap.partition, "from": gap.start, "before": gap.end} for gap in plan.gaps],
            }
        )
        return
    out.print(
        f"{scan.query.topic}: up to {count_text(guess.events, 'event')}, {size_text(guess.bytes)}, "
        f"about {span_text(guess.seconds)}; nothing was written",
        markup=False,
        soft_wrap=True,
    )
    start, end = scan.query.start.time_ms, scan.query.end.time_ms
    if start is not None or end is not None:
        first = "the beginning" if start is None else f"{time_text(start)} UTC"
        last = "the end" if end is None else f"before {time_text(end)} UTC"
        out.print(f"  from {first} to {last}", markup=False, soft_wrap=True)
    if rows:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("  PARTITION", "FROM OFFSET", "BEFORE", "OFFSETS"):
            table.add_column(heading, justify="right")
        for each in plan.ranges:
            table.add_row(f"{each.partition}", f"{each.start:,}", f"{each.end:,}", f"{each.end - each.start:,}")
        out.print(table)
    out.print(f"  columns: {', '.join(columns)}", markup=False, soft_wrap=True)
    for gap in plan.gaps:
        err.print(f"  [yellow]retention has taken[/] {gap}", soft_wrap=True)
