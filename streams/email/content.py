"""What a mail says: subject, text, HTML with its CSS inlined, and the pictures in it.

From a template or from the request's own fields. Computes, but for the templates' files.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.email.field_text import single_line
from streams.email.inline_css import inline_css
from streams.email.pictures import Picture, Pictures
from streams.email.plain_text import plain_text
from streams.email.request import Checked
from streams.email.settings import EmailSettings
from streams.email.templates import Templates
from tidemill.errors import Reject


@dataclass(frozen=True)
class Content:
    """The inside of a mail: at least a text; its HTML and the pictures in that, if it has one."""

    subject: str
    text: str
    html: str | None = None
    pictures: tuple[Picture, ...] = ()


class ContentMaker:
    """Makes the inside of mails; keeps compiled templates and pictures.

    The templates' folder is opened when the first template is asked for.

    Args:
        settings: The templates' folder, and limits.
    """

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings
        self._templates: Templates | None = None
        self._pictures = Pictures(settings.templates)

    @property
    def templates(self) -> Templates:
        """The templates; raises ConfigError where their folder isn't there."""
        if self._templates is None:
            self._templates = Templates(self._settings.templates)
        return self._templates

    def make(self, checked: Checked) -> Content:
        """The inside of one mail.

        Args:
            checked: The request.

        Raises:
            Reject: Its template can't be filled in, or what came out is too large or can't be a subject.
            StoreError: A picture of the template can't be read.
        """
        request = checked.request
        paths: tuple[str, ...] = ()
        if request.template is None:
            subject, text, html = request.subject or "", request.text, request.html
        else:
            rendered = self.templates.render(request.template, checked.context, request.locale, subject=request.subject)
            subject, text, html, paths = rendered.subject, rendered.text, rendered.html, rendered.images
        subject = single_line(subject, "subject").strip()
        if not subject:
            raise Reject("The mail's subject is empty.", hint="Spam filters and people both mistrust such a mail.")
        for what, body in (("text", text), ("HTML", html)):
            if body is not None and len(body.encode("utf-8", "surrogatepass")) > self._settings.max_body_bytes:
                raise Reject(f"The mail's {what} has more than {self._settings.max_body_bytes:,} bytes.")
        if html is not None:
            html = inline_css(html)
            if text is None:
                # HTML alone is what spam looks like, and nothing for those who read text.
                text = plain_text(html)
        return Content(subject, text or "", html, tuple(self._pictures.get(path) for path in paths))
