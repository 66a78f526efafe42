"""Ids as every database takes them. Computes only."""

from __future__ import annotations

import hashlib

MOST_CHARACTERS = 400


def stored_id(text: str) -> str:
    """An id as the tables have it; two that differ are never written alike.

    What can't be printed is escaped (Postgres takes no NUL, UTF-8 no lone surrogate), and what is long is cut and ends
    with a digest of the whole.
    """
    if len(text) <= MOST_CHARACTERS and text.isprintable() and "\\" not in text:
        return text
    shown = "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
    )
    if len(shown) <= MOST_CHARACTERS:
        return shown
    # A lone backslash before a tilde comes out of no escaping, so that no short id is taken for a long one.
    return shown[: MOST_CHARACTERS - 40] + "\\~" + hashlib.sha256(shown.encode()).hexdigest()[:32]
