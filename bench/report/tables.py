"""The page's tables and lists, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report import columns
from bench.report.columns import Column
from bench.report.numbers import number, shown
from bench.report.results import Results

OURS = "tidemill"
CLOSE = 1.1
"""Less than that apart is no difference: rounds differ as much."""
GROWTHS = ("partitions", "keys", "bytes per event", "backlog")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """A table; all but its first column are for numbers, unless `right` is False."""
    marks = ["---", *(["--:" if right else "---"] * (len(headings) - 1))]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([*headings], marks, *rows))


def throughput(results: Results) -> str:
    """Rates and what an event costs, a row for each contender."""
    chosen = (columns.PUBLISH, columns.NO_OP, columns.WAITING, columns.CPU)
    rows = [[_label(results, key), *_cells(results, key, chosen)] for key in results.contenders]
    more = [
        ("Tidemill, `AsyncPublisher`", results.find("publish", "publish, AsyncPublisher", OURS), None, None, None),
        (
            "Tidemill, batches of 500",
            None,
            results.find("drain", "no-op in batches", OURS),
            None,
            results.find("drain", "no-op in batches, CPU per event", OURS),
        ),
    ]
    place = list(results.contenders).index(OURS) + 1
    rows[place:place] = [[name, *map(shown, figures)] for name, *figures in more]
    return table(["", *(_heading(column) for column in chosen)], rows)


def latency(results: Results) -> str:
    """Delays at both rates."""
    rows = [[_label(results, key), *_cells(results, key, columns.LATENCIES)] for key in results.contenders]
    return table(["", *(_heading(column) for column in columns.LATENCIES)], rows)


def footprint(results: Results) -> str:
    """Start, memory, import."""
    rows = []
    for key in results.contenders:
        memory = results.find("start", columns.MEMORY.name, key)
        start, size, cost = _cells(results, key, (columns.START, columns.MEMORY, columns.IMPORT))
        rows.append([_label(results, key), start, f"{size} ({memory.note})" if memory else size, cost])
    return table(["", *(_heading(column) for column in (columns.START, columns.MEMORY, columns.IMPORT))], rows)


def targets(results: Results) -> str:
    """What was promised, and whether it holds."""
    rows = []
    for some in results.figures.values():
        for figure in some:
            if figure.target:
                unit = "" if figure.unit == "x" else f" {figure.unit}"
                value = "–" if figure.value is None else f"{number(figure.value)}{unit}"
                mark = "yes" if figure.met else "**no**"
                rows.append([figure.name, value, _spaced(figure.target) + unit, mark])
    return table(["", "measured", "target", "met"], rows)


def growth(results: Results) -> str:
    """The curves as numbers: events/s, and the most memory in MB."""
    rows = []
    for name in GROWTHS:
        sizes = {each.at: each for each in results.named("growth", f"growth with {name}, memory")}
        for figure in results.named("growth", f"growth with {name}"):
            at = f"{figure.at:,.0f} {name}" if figure.at else name
            if name == "backlog":
                at = f"{figure.at or 0:,.0f} events wait"
            rows.append([at, shown(figure), shown(sizes.get(figure.at))])
    return table(["", "events/s", "memory, MB"], rows)


def scaling(results: Results) -> str:
    """One process and two, with the stream and without."""
    rows = []
    for key, label in ((OURS, "Tidemill"), ("bare", "the same work without a stream")):
        names = [f"1 ms of computing, {name}" for name in ("1 process", "2 processes", "2 processes beside 1")]
        rows.append([label, *(shown(results.find("scaling", name, key)) for name in names)])
    return table(["", "1 process, events/s", "2 processes, events/s", "times"], rows)


def images(results: Results) -> str:
    """The image stream and the bare loop."""
    name = "images"
    rows = [
        ["image stream", shown(results.find("images", name, OURS))],
        ["bare loop of two processes, without Kafka", shown(results.find("images", f"{name}, bare loop", "bare"))],
        ["beside the bare loop", shown(results.find("images", f"{name}, beside the bare loop", OURS))],
    ]
    return table(["12-megapixel JPEG to 1600, 800 and 200 px, two processes", "images/s"], rows)


def ahead(results: Results) -> str:
    """Who is better than Tidemill by more than a tenth, and in what; the same for what couldn't be reached."""
    lines = []
    for column in columns.ALL:
        ours = results.find(column.measurement, column.name, OURS)
        if ours is None or ours.value is None:
            continue
        better = []
        for key in results.contenders:
            theirs = results.find(column.measurement, column.name, key)
            if key == OURS or theirs is None or theirs.value is None:
                continue
            times = theirs.value / ours.value if column.more_is_better else ours.value / theirs.value
            if times > CLOSE:
                better.append((times, f"{results.label(key)} {number(theirs.value)} ({times:.1f} times as good)"))
        if better:
            named = ", ".join(text for _, text in sorted(better, reverse=True))
            lines.append(f"- **{column.heading}**, {column.unit}: {named}; Tidemill {number(ours.value)}.")
    return "\n".join(lines) or "Nowhere, by more than a tenth."


def machine(results: Results) -> str:
    """The facts of the machine."""
    names = {
        "processor": "processor",
        "processors": "processors",
        "memory_gib": "memory, GiB",
        "system": "kernel",
        "load_before": "load before the run",
        "python": "Python",
        "kafka": "Kafka, on the same machine",
        "redis": "Redis, on the same machine",
    }
    rows = [[label, str(results.machine[name])] for name, label in names.items() if name in results.machine]
    rows.append(["ended", f"{results.ended}, after {results.seconds // 60} min"])
    return table(["", ""], rows, right=False)


def contenders(results: Results) -> str:
    """Who was measured, in which release, run how."""
    rows = [[facts["label"], facts["version"], facts["notes"]] for facts in results.contenders.values()]
    return table(["", "release", "how it is run"], rows, right=False)


def _cells(results: Results, key: str, chosen: Sequence[Column]) -> list[str]:
    return [shown(results.find(column.measurement, column.name, key)) for column in chosen]


def _label(results: Results, key: str) -> str:
    label = results.label(key)
    return f"**{label}**" if key == OURS else label


def _heading(column: Column) -> str:
    return f"{column.heading}, {column.unit}"


def _spaced(target: str) -> str:
    """`at least 20000` with its thousands apart."""
    words, _, value = target.rpartition(" ")
    return f"{words} {float(value):,g}"
