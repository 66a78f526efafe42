"""A text made from HTML, for mails that come without one: what a reader of plain text needs, and no markup.

Relies on the standard library's parser, which accepts anything. Links keep their address, images their alt text.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "figure", "footer"}
    | {"form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"}
    | {"table", "tr", "ul"}
)
_SILENT = frozenset({"head", "style", "script", "title", "template"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)


def plain_text(html: str) -> str:
    """The words of a page, a paragraph for each block.

    Args:
        html: The page.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = [re.sub(r"[ \t\r\f\v\u00a0]+", " ", line).strip() for line in "".join(reader.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent: list[str] = []
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if self._silent or (tag not in _VOID and (tag in _SILENT or _is_hidden(given))):
            if tag not in _VOID:
                self._silent.append(tag)
            return
        if tag == "br":
            self.pieces.append("\n")
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag == "td" or tag == "th":
            self.pieces.append(" ")
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag != "tr" else "\n")
        elif tag == "img" and given.get("alt"):
            self.pieces.append(f"[{given['alt']}]")
        if tag == "a":
            self._links.append((given.get("href", ""), len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag in self._silent:
                while self._silent.pop() != tag:
                    pass
            return
        if tag == "a" and self._links:
            href, begin = self._links.pop()
            words = "".join(self.pieces[begin:]).strip()
            if href.startswith(("http://", "https://")) and href not in words:
                self.pieces.append(f" ({href})" if words else href)
            elif href.startswith("mailto:") and href[7:] not in words:
                self.pieces.append(f" ({href[7:]})")
        elif tag in _BLOCKS and tag not in ("li", "tr"):
            self.pieces.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(data.replace("\n", " "))


def _is_hidden(given: dict[str, str]) -> bool:
    return "hidden" in given or "display:none" in given.get("style", "").replace(" ", "").lower()
