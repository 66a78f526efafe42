"""On which line each key of a cleanup.toml stands, which tomllib doesn't tell. Computes only.

Relies on tomllib having read the text, and on policies being flat: a key starts a line, after its [[policy]].
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\[\s*\"?policy\"?\s*\]\]")
_KEY = re.compile(r"\s*(?:\"([^\"]+)\"|'([^']+)'|([A-Za-z0-9_-]+))\s*=")


def key_lines(text: str) -> dict[tuple[int, str], int]:
    """Line of each key, counted from 1, by the policy's place and the key; the key "" is the policy's first line.

    What stands before the first policy has the place -1.
    """
    found: dict[tuple[int, str], int] = {}
    place = -1
    within: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if within is None:
            if _HEADER.match(line):
                place += 1
                found[place, ""] = number
            elif match := _KEY.match(line):
                found.setdefault((place, match[1] or match[2] or match[3]), number)
        # A text over several lines may hold what looks like a key.
        for mark in re.findall(r'"""|\'\'\'', line):
            within = mark if within is None else None if within == mark else within
    return found
