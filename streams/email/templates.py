"""Templates: files of a folder, compiled once, looked at again when they change.

A template `welcome` is `welcome.subject.txt`, `welcome.txt` and `welcome.html`; `welcome.de.html` goes before
`welcome.html` where the locale is `de` or `de-AT`. Files that begin with `_` are layouts and pieces. Values are escaped
in HTML. Must never read outside the folder, nor compile a text of an event: what it says can't become a template.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateNotFound, select_autoescape
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from streams.email.field_text import shown
from streams.email.formats import DEFAULT_LOCALE, FILTERS, locale_of
from streams.email.request import TEMPLATE_NAME
from tidemill.errors import ConfigError, Reject

SUBJECT, TEXT, HTML = "subject.txt", "txt", "html"
EXAMPLE = "context.json"


@dataclass(frozen=True)
class Rendered:
    """What a template gave: a subject, and the two bodies where it has them; `images` are paths below the folder."""

    subject: str
    text: str | None
    html: str | None
    images: tuple[str, ...]


class Templates:
    """The templates of one folder.

    Args:
        folder: Where they are.

    Raises:
        ConfigError: There is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(
                f"The folder of e-mail templates {str(folder)!r} isn't there.",
                hint="Set TIDEMILL_EMAIL_TEMPLATES to the folder; examples/email/templates is one to begin with.",
            )
        self.folder = folder
        # Jinja looks at the times of a template's own file and of those that it extends whenever it is asked for one.
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder, followlinks=False),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=True,
        )
        self._environment.filters.update(FILTERS)
        self._found: dict[tuple[str, str | None], tuple[int, Mapping[str, str]]] = {}

    def names(self) -> list[str]:
        """All templates, in alphabetical order."""
        files = (entry.name for entry in os.scandir(self.folder) if entry.is_file() and not entry.name.startswith("_"))
        stems = {name.partition(".")[0] for name in files if name.endswith((f".{TEXT}", f".{HTML}"))}
        return sorted(stem for stem in stems if TEMPLATE_NAME.fullmatch(stem))

    def locales(self, name: str) -> list[str]:
        """Locales that a template has files of its own for; the empty one is that of files without a locale."""
        found = set()
        for entry in os.scandir(self.folder):
            stem, _, rest = entry.name.partition(".")
            kind = next((kind for kind in (SUBJECT, TEXT, HTML) if rest == kind or rest.endswith(f".{kind}")), None)
            if stem == name and kind is not None:
                found.add(rest.removesuffix(kind).rstrip("."))
        return sorted(found)

    def files(self, name: str, locale: str | None) -> Mapping[str, str]:
        """The files of a template for a locale: kind (`subject.txt`, `txt`, `html`) to name, without what isn't there.

        Raises:
            Reject: There is no such template.
        """
        if not TEMPLATE_NAME.fullmatch(name):
            raise Reject(f"template {shown(name)} is no name of one: small letters, digits, dashes and underscores.")
        # A folder's time changes when a file comes or goes.
        changed = self.folder.stat().st_mtime_ns
        known = self._found.get((name, locale))
        if known is None or known[0] != changed:
            known = self._found[name, locale] = (changed, self._look(name, locale))
        if not known[1]:
            raise Reject(
                f"There is no template {name!r} in {self.folder}.",
                hint=f"There are: {', '.join(self.names()) or 'none'}.",
            )
        return known[1]

    def nearest(self, name: str, kind: str, locale: str | None) -> str | None:
        """The file of a template that is nearest to a locale; None where there is none at all.

        Args:
            name: Of the template, checked.
            kind: What its file's name ends with, e.g. `html`.
            locale: Such as `de-AT`: its own file, then that of `de`, then the one without a locale.
        """
        parts = [part for part in (locale or "").replace("_", "-").split("-") if part]
        variants = ["." + "-".join(parts[:count]) for count in range(len(parts), 0, -1)]
        files = (f"{name}{variant}.{kind}" for variant in (*variants, ""))
        return next((file for file in files if (self.folder / file).is_file()), None)

    def _look(self, name: str, locale: str | None) -> Mapping[str, str]:
        near = {kind: self.nearest(name, kind, locale) for kind in (SUBJECT, TEXT, HTML)}
        found = {kind: file for kind, file in near.items() if file is not None}
        return found if TEXT in found or HTML in found else {}

    def render(self, name: str, context: Mapping[str, Any], locale: str | None, *, subject: str | None) -> Rendered:
        """Fill a template in.

        Args:
            name: Of the template.
            context: Its variables; `locale` and `image` are added.
            locale: The recipient's.
            subject: Instead of the template's own.

        Raises:
            Reject: There is no such template, it has no subject, it asks for what the context doesn't have, or it can't
                be filled in.
        """
        files = self.files(name, locale)
        if locale is not None:
            locale_of(locale)
        images: dict[str, None] = {}
        variables = {**context, "locale": locale or DEFAULT_LOCALE, "image": self._image(images)}
        if subject is None:
            if SUBJECT not in files:
                raise Reject(f"Template {name!r} has no subject.", hint=f"Write {name}.{SUBJECT} beside it.")
            # The file ends with a line break; a break further in is refused later, with everything else in fields.
            subject = self._filled(files[SUBJECT], variables).strip()
        text = self._filled(files[TEXT], variables) if TEXT in files else None
        html = self._filled(files[HTML], variables) if HTML in files else None
        return Rendered(subject, text, html, tuple(images))

    def _image(self, images: dict[str, None]) -> Callable[[str], str]:
        def image(path: str) -> str:
            from streams.email.pictures import content_id

            images[path] = None
            return f"cid:{content_id(path)}"

        return image

    def _filled(self, file: str, variables: Mapping[str, Any]) -> str:
        try:
            template: Template = self._environment.get_template(file)
            return template.render(variables)
        except UndefinedError as error:
            raise Reject(
                f"Template {file} asks for what the context doesn't have: {error.message}.",
                hint="Add it to the context, or give the variable a default in the template.",
            ) from error
        except TemplateSyntaxError as error:
            raise Reject(
                f"Template {error.name or file}, line {error.lineno}: {error.message}.",
                hint="Mend the template; `tidemill email lint` shows all faults.",
            ) from error
        except TemplateNotFound as error:
            raise Reject(f"Template {file} needs {error.name!r}, which isn't in {self.folder}.") from error
        except SecurityError as error:
            raise Reject(f"Template {file} does what templates may not: {error}.") from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise Reject(
                f"Template {file} can't be filled in: {type(error).__name__}: {error}.",
                hint="Does a variable of the context have another type than the template expects?",
            ) from error
