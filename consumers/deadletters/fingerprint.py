"""What makes two dead letters the same failure: the fingerprint that they are grouped by. Computes only.

Error class, stream, handler, the message without what changes from event to event, and the last frames of the traceback
that are the user's own, without their line numbers. docs/deadletters.md names the rules; who changes one, raises
`tables.VERSION`, for all letters get other groups then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

MOST_READ = 2_000
"""Characters of a message that are looked at."""
MOST_PATTERN = 160
FRAMES = 3

_RULES: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"`<>,;)]+", "<url>"),
        # An apostrophe within a word, as in "can't", opens nothing.
        (r"(?<!\w)'[^'\n]*'(?!\w)", "<text>"),
        (r'"[^"\n]*"', "<text>"),
        (r"`[^`\n]*`", "<text>"),
        (r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", "<email>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"(?<![\w<.])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s:,;()'\"<>]+", "<path>"),
        (r"(?i)\b0x[0-9a-f]+\b", "<hex>"),
        (r"(?i)\b(?=[a-f]*\d)[0-9a-f]{8,}\b", "<hex>"),
        (r"\b(?=[A-Za-z_]*\d)[A-Za-z0-9_]{16,}={0,2}", "<id>"),
        (r"(?:(?<![\w>])[+-])?\d+(?:[.,:]\d+)*", "<n>"),
    )
]
_CHAIN = re.compile(
    r"^\s*(?:The above exception was the direct cause of the following exception:|"
    r"During handling of the above exception, another exception occurred:)\s*$",
    re.MULTILINE,
)
_FRAME = re.compile(r"^[ |+-]*File \"([^\"\n]+)\", line \d+, in ([^\n]+)$", re.MULTILINE)
_NOT_THE_USERS = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d|^<frozen |[/\\]tidemill[/\\]runtime[/\\]"
)


class Fingerprint(NamedTuple):
    """A group of dead letters."""

    id: str
    """Eight hexadecimal digits."""
    pattern: str
    """The message without what changes."""
    frames: tuple[str, ...]
    """The last frames of the user's own, as `file:function`, the innermost last."""


@lru_cache(maxsize=4_096)
def fingerprint(stream: str, handler: str, error: str, message: str, trace: str) -> Fingerprint:
    """The group of a dead letter.

    Args:
        stream: Where it died.
        handler: Which function raised, as the letter names it.
        error: The error's class.
        message: The error's message.
        trace: The traceback; empty where there is none.
    """
    found, pattern = frames(trace), normalised(message)
    told = "\0".join((stream, handler, error, pattern, *found))
    return Fingerprint(hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=4).hexdigest(), pattern, found)


def normalised(message: str) -> str:
    """A message without numbers, ids, hex, quoted text, paths, addresses and times."""
    text = message[:MOST_READ]
    for pattern, name in _RULES:
        text = pattern.sub(name, text)
    return " ".join(text.split())[:MOST_PATTERN]


@lru_cache(maxsize=1_024)
def frames(trace: str) -> tuple[str, ...]:
    """The last frames of a traceback that are the user's own; of any, where none is."""
    last = _CHAIN.split(trace)[-1]
    found = _FRAME.findall(last)
    own = [frame for frame in found if not _NOT_THE_USERS.search(frame[0])]
    return tuple(f"{_module(file)}:{function.strip()}" for file, function in (own or found)[-FRAMES:])


def _module(file: str) -> str:
    """A file by its name and its folder's: the rest differs between installations."""
    parts = re.split(r"[/\\]", file)
    return "/".join(parts[-2:]).removesuffix(".py")
