"""Python source text in the layout that `ruff format` gives it, so that generated modules need no formatter.

The rule that makes this simple: whatever is spread over lines gets a trailing comma, which pins it (the "magic trailing
comma" of Black's style), and text is split into pieces that stand on lines of their own.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

WIDTH = 120
INDENT = "    "


def quote(text: str) -> str:
    """A string literal: double quotes unless single ones need fewer escapes."""
    mark = "'" if text.count('"') > text.count("'") else '"'
    return mark + "".join(_escaped(char, mark) for char in text) + mark


def _escaped(char: str, mark: str) -> str:
    if char in ("\\", mark):
        return "\\" + char
    if char.isprintable():
        return char
    return repr(char)[1:-1]


def bytes_literal(value: bytes) -> str:
    """A bytes literal in the same style."""
    body = repr(b'"' + value)[3:-1]  # With a double quote in it, repr chooses single quotes as its mark...
    body = body.replace("\\'", "'")  # ...and escapes those: back to the bare body, then quote it our way.
    mark = "'" if body.count('"') > body.count("'") else '"'
    return f"b{mark}{body.replace(mark, chr(92) + mark)}{mark}"


def text_lines(text: str, indent: str, *, width: int = WIDTH, breaks: re.Pattern[str] | None = None) -> list[str]:
    """Lines of adjacent string literals that make up a long text; to be put in parentheses.

    Args:
        text: The text.
        indent: White space before each line.
        width: Longest line, in characters.
        breaks: Where to prefer a new line: before each match. Keeps differences small when a part of the text changes.
    """
    starts = [0, *(match.start() for match in breaks.finditer(text) if match.start())] if breaks else [0]
    pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    lines: list[str] = []
    for piece in pieces:
        while piece:
            size = _fitting(piece, width - len(indent))
            lines.append(indent + quote(piece[:size]))
            piece = piece[size:]
    return lines


def _fitting(text: str, width: int) -> int:
    """How many characters of the text to put on a line: at a space if possible, at least one."""
    size = min(len(text), width - 2)
    while size > 1 and len(quote(text[:size])) > width:
        size -= 1
    if size < len(text):
        # Rather after a space or a comma than within a word.
        better = max(text.rfind(" ", size // 2, size), text.rfind(",", size // 2, size))
        size = better + 1 if better > 0 else size
    return max(size, 1)


def call_lines(opening: str, items: Sequence[str], closing: str, indent: str) -> list[str]:
    """`opening item, item closing` spread over lines, one item a line; items may have several lines themselves."""
    lines = [indent + opening]
    for item in items:
        lines += [indent + INDENT + line for line in f"{item},".split("\n")]
    return [*lines, indent + closing]


def docstring_lines(text: str, indent: str) -> list[str]:
    """A docstring: paragraphs wrapped to the width, with its quotes."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    wrapped: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        # The first line stands after the opening quotes, a single one also before the closing ones.
        escaped = paragraph.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        first = indent + '"""' if number == 0 else indent
        lines = textwrap.wrap(
            escaped,
            WIDTH - 3,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        wrapped += ([""] if number else []) + lines
    # A quote or a backslash before the closing quotes would swallow them.
    wrapped[-1] += " " if wrapped[-1].endswith(('"', "\\")) else ""
    if len(wrapped) == 1:
        return [wrapped[0] + '"""']
    return [*wrapped[:-1], wrapped[-1].rstrip(), indent + '"""']
