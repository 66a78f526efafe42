"""A form with one file in it (RFC 7578), taken apart while it arrives; nothing of the file is kept here.

Relies on python-multipart's parser, which bounds a boundary and a part's headers; all other bounds are here. Must never
guess what an odd form means: another parser on the way may have understood it otherwise.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from producers.gateway.errors import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 10
MOST_FIELD_BYTES = 256_000
"""Of all fields together that are not the file."""
OVERHEAD_BYTES = MOST_FIELD_BYTES + 64_000
"""A form is at most so much larger than its file."""

# RFC 2046, section 5.1.1: at most 70 of these.
_BOUNDARY = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ")
_FIELDS = frozenset({"event", "sha256"})
_PLAIN_ENCODINGS = (b"binary", b"8bit", b"7bit")

# It would write a line for whatever a client sends.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Form:
    """Takes a form's bytes, gives those of its file.

    Args:
        content_type: The request's header, with the boundary.

    Raises:
        Problem: There is no usable boundary.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70 or not _BOUNDARY.issuperset(boundary) or boundary.endswith(b" "):
            raise Problem(
                "malformed",
                "The form's boundary must be 1 to 70 of the characters that RFC 2046 allows.",
                hint="Let the client's library write the header Content-Type.",
            )
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)
        self.fields: dict[str, bytes] = {}
        self.file_name: str | None = None
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._field: bytearray | None = None
        self._field_bytes = 0
        self._name = ""
        self._pieces: list[bytes] = []
        self._has_file = False
        self._is_whole = False

    def feed(self, data: bytes) -> list[bytes]:
        """The parts of the file that are in the next bytes of the form.

        Raises:
            Problem: It is no form with one file, or is over a limit.
        """
        self._pieces = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Problem("malformed", "The form can't be read: its boundary or a part's header is broken.") from error
        return self._pieces

    def finish(self) -> None:
        """The form has ended.

        Raises:
            Problem: Its last boundary is missing, or there was no file in it.
        """
        if not self._is_whole:
            raise Problem("malformed", "The form is cut off: its last boundary is missing.", hint="Send it again.")
        if not self._has_file:
            raise Problem(
                "malformed", "There is no file in the form.", hint='Send it as a field `file`, as curl -F "file=@..."'
            )

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Problem("malformed", f"The form has more than {MOST_PARTS} parts.")
        self._headers = {}

    def _end_header(self) -> None:
        name = bytes(self._header_name).lower()
        if name in self._headers:
            raise Problem("malformed", "A part of the form has a header twice.")
        self._headers[name] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if disposition != b"form-data" or not name:
            raise Problem("malformed", "A part of the form doesn't say what it is: form-data with a name is expected.")
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise Problem("malformed", "A part of the form is encoded; RFC 7578 wants its bytes as they are.")
        self._name = name
        if b"filename" in options or name == "file":
            if self._has_file:
                raise Problem("malformed", "There is more than one file in the form.", hint="Send one at a time.")
            self._has_file = True
            self._field = None
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace") or None
            return
        if name not in _FIELDS:
            raise Problem(
                "malformed",
                f"There is no field {name[:80]!r}.",
                hint=f"Fields are file, {', '.join(sorted(_FIELDS))}.",
            )
        if name in self.fields:
            raise Problem("malformed", f"The field {name!r} is in the form twice.")
        self._field = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._pieces.append(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MOST_FIELD_BYTES:
            raise Problem(
                "too-large",
                f"The form's fields have more than {MOST_FIELD_BYTES:,} bytes.",
                max_bytes=MOST_FIELD_BYTES,
            )
        self._field += data[start:end]

    def _end_part(self) -> None:
        if self._field is not None:
            self.fields[self._name] = bytes(self._field)
        self._field = None

    def _end(self) -> None:
        self._is_whole = True
