"""A mail as files to look at: page, text, the mail itself, and one page that shows it wide, narrow and dark.

Computes: names to bytes. Pictures are put into the pages, so that each file stands alone. What comes from the mail is
escaped or shut into a frame without scripts.
"""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from streams.email.content import Content
from streams.email.message import Mail
from streams.email.pictures import content_id

_DARK = re.compile(r"@media\s*\(prefers-color-scheme:\s*dark\)")


@dataclass(frozen=True)
class Preview:
    """Files of a preview, by name; `index.html` is the one to open."""

    files: dict[str, bytes]


def preview(name: str, content: Content, mail: Mail) -> Preview:
    """The files of a preview.

    Args:
        name: Of the template; the files are named after it.
        content: What the mail says.
        mail: The mail itself.
    """
    files = {f"{name}.txt": content.text.encode(), f"{name}.eml": mail.data}
    if content.html is not None:
        files[f"{name}.html"] = standing_alone(content).encode()
    files["index.html"] = _index(name, content, mail).encode()
    return Preview(files)


def standing_alone(content: Content, *, dark: bool = False) -> str:
    """The mail's HTML with its pictures in it.

    Args:
        content: What the mail says, with HTML.
        dark: As those see it who like it dark.
    """
    page = content.html or ""
    for picture in content.pictures:
        data = base64.b64encode(picture.data).decode()
        page = page.replace(f"cid:{content_id(picture.path)}", f"data:{picture.content_type};base64,{data}")
    if dark:
        page = _DARK.sub("@media all", page).replace(
            'name="color-scheme" content="light dark"', 'name="color-scheme" content="dark"'
        )
    return page


@cache
def _frame() -> str:
    return (Path(__file__).parent / "preview.html").read_text(encoding="utf-8")


def _index(name: str, content: Content, mail: Mail) -> str:
    head = mail.data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    views = ""
    if content.html is not None:
        for title, kind, dark in (("Wide", "wide", False), ("Narrow", "narrow", False), ("Dark", "narrow", True)):
            page = html.escape(standing_alone(content, dark=dark))
            frame = f'<iframe class="{kind}" sandbox srcdoc="{page}"></iframe>'
            views += f"<figure><figcaption>{title}</figcaption>{frame}</figure>"
    values = {
        "name": html.escape(name),
        "subject": html.escape(content.subject),
        "facts": html.escape(_facts(content, mail)),
        "views": views,
        "text": html.escape(content.text),
        "head": html.escape(head),
    }
    # In one go: a value that holds a place of another's stays what it is.
    return re.sub(r"{{ (\w+) }}", lambda match: values[match[1]], _frame())


def _facts(content: Content, mail: Mail) -> str:
    facts = [f"{len(mail.data) / 1000:,.1f} kB in all"]
    if content.html is not None:
        facts.append(f"{len(content.html.encode()) / 1000:,.1f} kB HTML")
    if content.pictures:
        facts.append(f"{len(content.pictures)} inline picture{'s' if len(content.pictures) > 1 else ''}")
    return " · ".join(facts)
