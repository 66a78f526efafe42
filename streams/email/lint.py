"""What is wrong with a template, found before a recipient finds it.

Each template is filled in with its example, `NAME.context.json`, in every locale that it has. Faults are what
recipients would see or what filters punish; advice is what some mail programs do badly. Must never send anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Literal

from streams.email.inline_css import inline_css
from streams.email.pictures import Pictures
from streams.email.plain_text import plain_text
from streams.email.settings import EmailSettings
from streams.email.templates import EXAMPLE, HTML, SUBJECT, TEXT, Rendered, Templates
from tidemill.errors import Reject, StoreError

CLIPPED_BYTES = 102_000
"""Gmail cuts a message's HTML there and shows a link to the rest."""
SUBJECT_CHARS = 70
HUGE_PICTURE_BYTES = 200_000
_FORBIDDEN = {
    "script": "no mail program runs scripts, and filters take them for an attack",
    "iframe": "no mail program shows frames",
    "object": "no mail program shows objects",
    "embed": "no mail program shows objects",
    "form": "many mail programs warn of forms, or remove them",
    "video": "most mail programs don't play videos; show a picture with a link",
    "audio": "most mail programs don't play sounds",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found; `file` is the template's file, or its name where it concerns all."""

    file: str
    severity: Literal["fault", "advice"]
    message: str


def lint(templates: Templates, settings: EmailSettings, names: Iterable[str]) -> list[Finding]:
    """All that is wrong with some templates.

    Args:
        templates: The folder.
        settings: Limits.
        names: Which templates.

    Raises:
        Reject: There is no such template.
    """
    return [finding for name in names for finding in _lint_one(templates, settings, name)]


def example_context(templates: Templates, name: str, locale: str | None = None) -> dict[str, Any]:
    """The example that belongs to a template: `NAME.LOCALE.context.json`, or the one without a locale.

    Args:
        templates: The folder.
        name: Of the template.
        locale: The nearest is taken, as with the template's other files.

    Raises:
        Reject: It isn't there, or no JSON object.
    """
    file = templates.folder / (templates.nearest(name, EXAMPLE, locale) or f"{name}.{EXAMPLE}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Reject(
            f"Template {name!r} has no example {file.name}.",
            hint="Write one: a JSON object with every variable that the template uses.",
        ) from error
    except (OSError, ValueError) as error:
        raise Reject(f"{file.name} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise Reject(f"{file.name} holds a JSON {type(found).__name__}, expected an object.")
    return found


def _lint_one(templates: Templates, settings: EmailSettings, name: str) -> Iterator[Finding]:
    locales = templates.locales(name)
    files = templates.files(name, None) if "" in locales or not locales else {}
    if SUBJECT not in files:
        yield Finding(name, "fault", f"has no subject; write {name}.{SUBJECT}.")
    if TEXT not in files:
        yield Finding(name, "fault", f"has no text part: one is made from its HTML; {name}.{TEXT} would be better.")
    if HTML not in files:
        yield Finding(name, "advice", "has no HTML part, so it is shown as plain text.")
    try:
        example_context(templates, name)
    except Reject as error:
        yield Finding(name, "fault", str(error))
        return
    for locale in (each or None for each in locales):
        subject = None if SUBJECT in templates.files(name, locale) else "-"
        try:
            context = example_context(templates, name, locale)
            rendered = templates.render(name, context, locale, subject=subject)
        except Reject as error:
            yield Finding(f"{name}.{locale}" if locale else name, "fault", str(error))
            continue
        yield from _lint_rendered(templates.files(name, locale), rendered, templates, settings)


def _lint_rendered(
    files: Mapping[str, str], rendered: Rendered, templates: Templates, settings: EmailSettings
) -> Iterator[Finding]:
    if SUBJECT in files:
        if len(rendered.subject.splitlines()) > 1:
            yield Finding(files[SUBJECT], "fault", "gives several lines; a subject is one.")
        if not rendered.subject:
            yield Finding(files[SUBJECT], "fault", "gives an empty subject.")
        if len(rendered.subject) > SUBJECT_CHARS:
            found = f"gives {len(rendered.subject)} characters; lists show about {SUBJECT_CHARS}, phones fewer."
            yield Finding(files[SUBJECT], "advice", found)
    if rendered.text is not None and not rendered.text.strip():
        yield Finding(files[TEXT], "fault", "gives a mail without a word.")
    if rendered.html is None:
        return
    file = files[HTML]
    if not rendered.images and not plain_text(rendered.html).strip():
        yield Finding(file, "fault", "gives a mail without a word.")
    try:
        html = inline_css(rendered.html)
    except Reject as error:
        yield Finding(file, "fault", str(error))
        return
    if (size := len(html.encode())) > CLIPPED_BYTES:
        found = f"gives {size:,} bytes of HTML; Gmail shows the first {CLIPPED_BYTES:,} and hides the rest."
        yield Finding(file, "fault", found)
    reader = _Reader()
    reader.feed(html)
    for severity, message in dict.fromkeys(reader.findings):
        yield Finding(file, severity, message)
    pictures = Pictures(settings.templates)
    for path in rendered.images:
        try:
            picture = pictures.get(path)
        except StoreError as error:
            yield Finding(file, "fault", f"shows {path}, which can't be read: {error}")
            continue
        if len(picture.data) > HUGE_PICTURE_BYTES:
            found = (
                f"shows {path} of {len(picture.data):,} bytes in every mail; at most {HUGE_PICTURE_BYTES:,} are good."
            )
            yield Finding(file, "fault", found)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.findings: list[tuple[Literal["fault", "advice"], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _FORBIDDEN:
            self.findings.append(("fault", f"holds <{tag}>: {_FORBIDDEN[tag]}."))
        if tag == "link" and "stylesheet" in given.get("rel", ""):
            self.findings.append(("fault", f"loads the style sheet {given.get('href', '')!r}; write it into <style>."))
        if tag == "img":
            self._image(given)
        if tag == "a" and given.get("href", "").strip().lower() in ("", "#"):
            self.findings.append(("fault", "holds a link that leads nowhere."))
        for name, value in given.items():
            if name.startswith("on") or value.strip().lower().startswith("javascript:"):
                self.findings.append(("fault", f"holds {name}={value[:40]!r}; no mail program runs scripts."))

    def _image(self, given: Mapping[str, str]) -> None:
        source = given.get("src", "")
        # An empty text is right for decoration (WCAG 2.2, 1.1.1); a missing one isn't.
        if "alt" not in given:
            self.findings.append(("fault", f"shows {source[:60]!r} without alt, for those who don't see pictures."))
        if source.startswith(("http:", "https:", "//")):
            self.findings.append(
                ("advice", f"shows {source[:60]!r} from the network: many mail programs ask first. Use image('...').")
            )
        elif source.startswith("data:"):
            self.findings.append(("fault", "shows a data: picture, which Gmail and Outlook don't. Use image('...')."))
        elif not source.startswith("cid:"):
            self.findings.append(("fault", f"shows {source[:60]!r}, which no mail program finds. Use image('...')."))
