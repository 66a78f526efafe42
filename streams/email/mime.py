"""A mail as bytes: MIME parts in the order that mail programs expect, every line short, all of it ASCII.

    multipart/mixed              with attachments
      multipart/alternative      with HTML
        text/plain
        multipart/related        with pictures
          text/html
          image/...
      application/...

Written here rather than by the standard library's generator, which takes twenty times as long; a test reads mails back
with its parser. Follows RFC 2045, 2046 and 2387. The same content, id and time give the same bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from streams.email.content import Content
from streams.email.field_text import display_text, field_line
from streams.email.pictures import content_id

CRLF = b"\r\n"


@dataclass(frozen=True)
class Entity:
    """One MIME entity: its header fields and its encoded body, each line ended by CRLF."""

    header: bytes
    body: bytes


@dataclass(frozen=True)
class AttachedFile:
    """A file that goes with a mail."""

    name: str
    content_type: str
    data: bytes


def body_of(content: Content, attachments: Sequence[AttachedFile], seed: str) -> Entity:
    """The content of a mail as one entity.

    Args:
        content: Text, HTML and pictures.
        attachments: Files that go with it.
        seed: Makes the boundaries; letters and digits, its own for each mail.
    """
    entity = _text("plain", content.text)
    if content.html is not None:
        html = _text("html", content.html)
        if content.pictures:
            shown = [_picture(picture.content_type, picture.path, picture.encoded) for picture in content.pictures]
            html = _multipart("related", [html, *shown], seed, '; type="text/html"')
        entity = _multipart("alternative", [entity, html], seed)
    if attachments:
        entity = _multipart("mixed", [entity, *(_attachment(file) for file in attachments)], seed)
    return entity


def _text(subtype: str, text: str) -> Entity:
    data = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    if not data.endswith(b"\n"):
        data += b"\n"
    # As text: line breaks stay what they are, and b2a_qp writes the kind of break that it finds first.
    encoded = binascii.b2a_qp(data.replace(b"\n", CRLF), quotetabs=False, istext=True)
    header = (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'.encode()
    )
    return Entity(header, encoded)


def _picture(content_type: str, path: str, encoded: bytes) -> Entity:
    name = path.rpartition("/")[2]
    header = (
        f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-ID: <{content_id(path)}>\r\nContent-Disposition: inline; filename="{name}"\r\n'
    )
    return Entity(header.encode("ascii"), encoded)


def _attachment(file: AttachedFile) -> Entity:
    disposition = f"attachment; {_file_name(file.name)}"
    header = (
        field_line("Content-Type", file.content_type)
        + b"Content-Transfer-Encoding: base64\r\n"
        + field_line("Content-Disposition", disposition)
    )
    return Entity(header, base64.encodebytes(file.data).replace(b"\n", CRLF))


def _file_name(name: str) -> str:
    escaped = display_text(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'filename="{escaped}"'


def _multipart(subtype: str, parts: Sequence[Entity], seed: str, more: str = "") -> Entity:
    # "=_" can stand in neither quoted-printable nor base64 (RFC 2045, 6.7), so no body holds the boundary.
    boundary = f"=_{subtype[:3]}_{seed}"
    header = f'Content-Type: multipart/{subtype}{more};\r\n boundary="{boundary}"\r\n'.encode()
    mark = f"--{boundary}".encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (mark, CRLF, part.header, CRLF, part.body, CRLF)
    pieces += (mark, b"--", CRLF)
    return Entity(header, b"".join(pieces))
