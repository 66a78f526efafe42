"""On which line of a TOML document each key stands: what tomllib doesn't tell, and a good complaint needs.

Relies on tomllib having read the same text without complaint, so it needs to find its way through valid TOML 1.0 only.
Computes only.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""(?!")))*+"""', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''(?!')))*+'''", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*+"'),
    re.compile(r"'[^'\n]*'"),
)


def key_lines(text: str) -> Mapping[Path, int]:
    """Line of each table, key and list element, counted from 1, by its path in the data, e.g. ("job", 0, "name").

    Args:
        text: Valid TOML, with line ends as tomllib takes them.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.document()
    return scanner.found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of what it is in, if it has no line of its own."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._tables: dict[Path, int] = {}
        self.found: dict[Path, int] = {}

    def document(self) -> None:
        current: Path = ()
        while self._skip(_BETWEEN):
            if self._text.startswith("[[", self._at):
                current = self._header(2, repeated=True)
            elif self._text[self._at] == "[":
                current = self._header(1, repeated=False)
            else:
                self._pair(current)

    def _skip(self, blank: re.Pattern[str]) -> bool:
        self._at = self._matched(blank).end()
        return self._at < len(self._text)

    def _matched(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        assert match is not None, f"tomllib read what this can't at {self._at}"
        return match

    def _note(self, path: Path) -> None:
        self.found.setdefault(path, bisect_right(self._ends, self._at - 1) + 1)

    def _header(self, brackets: int, *, repeated: bool) -> Path:
        self._at += brackets
        path: Path = ()
        names = self._key()
        for index, name in enumerate(names):
            path = (*path, name)
            if repeated and index == len(names) - 1:
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path = (*path, self._tables[path])
            self._note(path)
        self._at += brackets
        return path

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_BLANK)
            if self._text[self._at] in "\"'":
                quoted = self._string()
                names.append(tomllib.loads(f"key = {quoted}")["key"])
            else:
                match = self._matched(_BARE_KEY)
                self._at = match.end()
                names.append(match[0])
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _string(self) -> str:
        for pattern in _STRINGS:
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return match[0]
        raise AssertionError(f"tomllib read a string that this can't at {self._at}")

    def _pair(self, path: Path) -> None:
        start = self._at
        names = self._key()
        end, self._at = self._at, start
        for name in names:
            path = (*path, name)
            self._note(path)
        self._at = end + 1
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening in ('"', "'"):
            self._string()
        elif opening == "[":
            self._at += 1
            index = 0
            while self._skip(_BETWEEN) and self._text[self._at] != "]":
                self._note((*path, index))
                self._value((*path, index))
                self._skip(_BETWEEN)
                if self._text[self._at] == ",":
                    self._at += 1
                index += 1
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._skip(_BETWEEN) and self._text[self._at] != "}":
                self._pair(path)
                self._skip(_BETWEEN)
                if self._text[self._at] == ",":
                    self._at += 1
            self._at += 1
        else:
            self._at = self._matched(_SCALAR).end()
