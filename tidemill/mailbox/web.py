"""The mailbox's page and its JSON, over HTTP on 127.0.0.1.

    GET    /                      the list; ?find=WORDS, ?page=N
    GET    /mails/ID              one mail; ?view=html|phone|text|headers|source
    GET    /mails/ID/source       the mail as a file
    GET    /mails/ID/parts/N/...  a part of it as a file
    GET    /api/mails             ?limit=N (100), ?find=WORDS; newest first
    GET    /api/mails/ID          one with its text, HTML and headers
    DELETE /api/mails, /api/mails/ID

Must never let a mail run a script or load anything, nor answer a page of another site: mails hold links that log in.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tidemill.mailbox import pages
from tidemill.mailbox.envelope import opened
from tidemill.mailbox.folder import MailFolder, received_at
from tidemill.mailbox.reading import read_mail
from tidemill.mailbox.summaries import Summaries, summary_of

MOST_LISTED = 1_000
# A name that another site's page has resolve to 127.0.0.1 is not among these (DNS rebinding).
OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Without allow-scripts a sandboxed page can't send itself elsewhere by <meta http-equiv=refresh> either.
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; font-src data:; "
    "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
_ASSETS = {"/style.css": "text/css; charset=utf-8", "/refresh.js": "text/javascript; charset=utf-8"}
_MAIL = re.compile(r"(/api)?/mails/(\d{13}-\d{6})(?:/(html|source|delete|parts/(\d{1,4})(?:/[^/]*)?))?")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    policy: str = _PAGE_POLICY
    more: Mapping[str, str] = field(default_factory=dict)


class Site:
    """Answers requests; knows nothing of sockets.

    Args:
        folder: The mails.
        smtp_address: Shown as where mails are to be sent to.
    """

    def __init__(self, folder: MailFolder, smtp_address: str) -> None:
        self._folder = folder
        self._summaries = Summaries(folder)
        self._smtp_address = smtp_address

    def answer(self, method: str, target: str) -> Answer:
        """The answer to one request.

        Args:
            method: GET, POST or DELETE.
            target: Path and query, as they came.
        """
        address = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        found = _MAIL.fullmatch(address.path)
        match method, address.path:
            case "GET", "/":
                return self._list(query)
            case "GET", "/style.css" | "/refresh.js" as path:
                return Answer((pages.FOLDER / path[1:]).read_bytes(), _ASSETS[path])
            case "GET", "/api/mails":
                return self._api_list(query)
            case ("POST", "/delete") | ("DELETE", "/api/mails"):
                for id in self._folder.ids():
                    self._folder.delete(id)
                return _see("/") if method == "POST" else Answer(b"", status=HTTPStatus.NO_CONTENT)
            case "GET" | "POST" | "DELETE", _ if found is not None:
                return self._mail(method, found, query)
        return _problem(HTTPStatus.NOT_FOUND, "There is no such page", address.path[:200])

    def _list(self, query: Mapping[str, str]) -> Answer:
        words = query.get("find", "").strip()
        page = max(1, _whole(query.get("page"), 1, 100_000))
        mails, total = self._summaries.newest((page - 1) * pages.PER_PAGE, pages.PER_PAGE, words)
        newest = next(iter(self._folder.ids()), "")
        now = datetime.now(UTC)
        html = pages.list_page(
            mails, total, page=page, words=words, newest=newest, smtp_address=self._smtp_address, now=now
        )
        return Answer(html.encode())

    def _api_list(self, query: Mapping[str, str]) -> Answer:
        limit = _whole(query.get("limit"), 100, MOST_LISTED)
        mails, total = self._summaries.newest(0, limit, query.get("find", "").strip())
        return _json({"total": total, "mails": [pages.as_json(mail) for mail in mails]})

    def _mail(self, method: str, found: re.Match[str], query: Mapping[str, str]) -> Answer:
        is_api, id, what, number = found[1] is not None, found[2], found[3], found[4]
        data = self._folder.read(id)
        if data is None:
            return _problem(HTTPStatus.NOT_FOUND, "This mail isn't there any more", "The newest ones are kept.")
        if (method, is_api, what) in (("DELETE", True, None), ("POST", False, "delete")):
            self._folder.delete(id)
            return _see("/") if method == "POST" else Answer(b"", status=HTTPStatus.NO_CONTENT)
        if method != "GET" or what == "delete" or (is_api and what is not None):
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED, "That can't be done here", f"{method} {found[0]}")
        envelope, source = opened(data)
        mail = read_mail(source)
        if is_api:
            return _json(pages.whole_as_json(summary_of(id, data), mail))
        match what:
            case None:
                html = pages.mail_page(id, mail, envelope, source, view=query.get("view"), received_at=received_at(id))
                return Answer(html.encode("utf-8", "replace"))
            case "html":
                return Answer(pages.framed(mail).encode("utf-8", "replace"), policy=_MAIL_POLICY)
            case "source":
                return _file(source, f"{id}.eml", "message/rfc822")
        if int(number) >= len(mail.parts):
            return _problem(HTTPStatus.NOT_FOUND, "The mail has no such part", found[0])
        part = mail.parts[int(number)]
        kind = part.content_type if part.content_type in pages.INLINE_TYPES else "application/octet-stream"
        return _file(part.data, part.name, kind)


def _whole(text: str | None, usual: int, most: int) -> int:
    return min(int(text), most) if text and text.isascii() and text.isdigit() and len(text) < 10 else usual


def _json(content: object) -> Answer:
    # ASCII: half a surrogate of a broken mail can't be written otherwise.
    return Answer(json.dumps(content, indent=2).encode(), "application/json", policy=_FILE_POLICY)


def _file(data: bytes, name: str, content_type: str) -> Answer:
    disposition = f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    return Answer(data, content_type, policy=_FILE_POLICY, more={"Content-Disposition": disposition})


def _see(path: str) -> Answer:
    return Answer(b"", status=HTTPStatus.SEE_OTHER, more={"Location": path})


def _problem(status: HTTPStatus, title: str, text: str) -> Answer:
    return Answer(pages.problem_page(title, text).encode("utf-8", "replace"), status=status)


def is_own_host(header: str | None) -> bool:
    """Whether a Host or the rest of an Origin means this machine itself, on any port."""
    try:
        return urlsplit(f"//{header or ''}").hostname in OWN_HOSTS
    except ValueError:
        return False


class Web(ThreadingHTTPServer):
    """The site, listening.

    Args:
        host: The address it listens on.
        port: Its port; 0 for any free one.
        answer: As `Site.answer`.

    Raises:
        OSError: The port is taken.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, answer: Callable[[str, str], Answer]) -> None:
        self.answer = answer
        super().__init__((host, port), _Request)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no news; everything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            log.exception("a request failed")


class _Request(BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"
    server_version = "tidemill"
    sys_version = ""
    timeout = 60.0

    def do_GET(self) -> None:
        self._go("GET")

    def do_POST(self) -> None:
        self._go("POST")

    def do_DELETE(self) -> None:
        self._go("DELETE")

    def _go(self, method: str) -> None:
        if self.headers.get("Content-Length", "0") != "0" or self.headers.get("Transfer-Encoding"):
            # Nothing here has a body; what isn't read must not be taken for the next request.
            self.close_connection = True
        origin = self.headers.get("Origin")
        if not is_own_host(self.headers.get("Host")):
            self._send(_problem(HTTPStatus.MISDIRECTED_REQUEST, "Not this name", "Use 127.0.0.1 or localhost."))
        elif method != "GET" and origin is not None and not is_own_host(origin.partition("://")[2]):
            self._send(_problem(HTTPStatus.FORBIDDEN, "Not from there", "Another site asked for this."))
        else:
            self._send(self.server.answer(method, self.path))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": str(len(answer.body)),
            "Content-Security-Policy": answer.policy,
            "X-Content-Type-Options": "nosniff",
            "X-DNS-Prefetch-Control": "off",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **answer.more,
        }
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests aren't logged."""
