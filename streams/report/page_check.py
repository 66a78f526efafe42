"""What a page may not have: anything that is loaded, runs, or sends. Everything that it shows is within it.

A browser is told the same by the page's Content-Security-Policy, and the PDF is made without any way to load something;
here it is found early, with the place.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_TAGS = {
    "script": "a page runs nothing",
    "iframe": "a page holds no other pages",
    "object": "a page loads nothing",
    "embed": "a page loads nothing",
    "link": "a page loads nothing; write styles into the block `style`",
    "base": "a page has no base address",
    "form": "a page sends nothing",
    "video": "a page loads nothing",
    "audio": "a page loads nothing",
}
_LOADING = {"src", "srcset", "poster", "data", "background", "xlink:href", "action", "formaction", "ping"}
_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
_IN_STYLE = re.compile(r"url\(\s*['\"]?(?!data:|\s*#)([^)'\"]*)|(@import)", re.IGNORECASE)


def page_faults(page: str) -> list[tuple[int, str]]:
    """What is wrong with a page: line of the page, and what was found.

    Args:
        page: Its HTML, without the rows of tables, which are escaped.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.faults


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[tuple[int, str]] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: (value or "").strip() for name, value in attrs}
        self._in_style = tag == "style"
        if tag in _TAGS:
            self._tell(f"<{tag}>: {_TAGS[tag]}")
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self._tell("<meta http-equiv=refresh>: a page leads nowhere by itself")
        for name, value in given.items():
            if name.startswith("on"):
                self._tell(f"{name}=...: a page runs nothing")
            elif name == "style":
                self._style(value)
            elif name in _LOADING or (name == "href" and tag != "a"):
                if not value.lower().startswith(("data:image/", "#")):
                    self._tell(f"<{tag} {name}={value[:80]!r}>: a page loads nothing; write image('file.png')")
            elif name == "href" and not _LINK.match(value):
                self._tell(f"<a href={value[:80]!r}>: expected https:, http:, mailto: or #")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._style(data)

    def _style(self, style: str) -> None:
        for found in _IN_STYLE.finditer(style):
            self._tell(f"{found[2] or f'url({found[1][:80]})'} in a style: a page loads nothing")

    def _tell(self, what: str) -> None:
        self.faults.append((self.getpos()[0], what))
