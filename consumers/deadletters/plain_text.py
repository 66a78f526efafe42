"""Text from anywhere as text that a terminal can show: what would move its cursor or turn its direction is taken out.

Computes only.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[P^_X][^\x1b]{0,4096}(?:\x1b\\)?|.)?"
)
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)]) | dict.fromkeys(
    # Marks of direction and what has no width: they make text look like other text (Unicode TR 36).
    [
        0x00AD,
        0x061C,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        0xFEFF,
        *range(0xFFF9, 0xFFFC),
    ]
)
_KEPT = {0x09: " ", 0x0A: "\n"}
_ONE_LINE = {0x09: " ", 0x0A: " ", 0x0D: " ", 0x2028: " ", 0x2029: " "}


def plain(text: str) -> str:
    """Text of several lines."""
    return _ESCAPES.sub("", text).translate(_CONTROLS | _KEPT | {0x2028: "\n", 0x2029: "\n"})


def one_line(text: str, most: int) -> str:
    """Text in one line.

    Args:
        text: Any.
        most: Characters that are left of it.
    """
    # Sequences that are taken out may be three quarters of it, but nobody writes more of them without ill will.
    cut = text[: most * 4]
    if not cut.isprintable() or not cut.isascii():
        cut = _ESCAPES.sub("", cut).translate(_CONTROLS | _ONE_LINE)
    shown = " ".join(cut.split())
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def decoded(data: bytes | None) -> str:
    """Bytes as text; what is not UTF-8 is replaced."""
    return (data or b"").decode("utf-8", "replace")
