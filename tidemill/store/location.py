"""Where an object is: a URI taken apart, and whether one lies inside another.

Pure text, no file or network is touched. Everything that could mean another place than it seems to (`..` in any
encoding, backslashes, user names, other hosts) is refused here, before anything is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tidemill.errors import ForbiddenUri

SCHEMES = ("file", "s3", "gs", "az")
MAX_URI_CHARS = 2048

# The store for tests; not among SCHEMES, so that no event can name it unless the store itself is one.
MEMORY = "memory"

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# "%252e" decodes to "%2e" and then to ".": look as deep as any chain of proxies and libraries might decode.
_DECODE_DEPTH = 4


@dataclass(frozen=True)
class Location:
    """One place in one store.

    Attributes:
        scheme: `file`, `s3`, `gs`, `az`, or `memory` in tests.
        bucket: Bucket or container; empty for files.
        segments: The path's parts, decoded, without empty ones.
    """

    scheme: str
    bucket: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, uri: str) -> Location:
        """Take a URI apart.

        `file:` paths are percent-decoded once (RFC 8089); keys in buckets are taken literally, as the clouds' own
        tools do.

        Args:
            uri: E.g. `file:///srv/photos/a.jpg` or `s3://bucket/photos/a.jpg`.

        Raises:
            ForbiddenUri: It isn't a URI of a known scheme, or it could mean another place than it seems to.
        """
        if len(uri) > MAX_URI_CHARS:
            raise ForbiddenUri(
                f"URI {shown(uri)} has {len(uri):,} characters, at most {MAX_URI_CHARS:,} are allowed.",
                hint="Store the object under a shorter name.",
            )
        if _CONTROL.search(_decoded_to_the_end(uri)):
            raise ForbiddenUri(f"URI {shown(uri)} holds control characters.", hint="Remove them, encoded ones too.")
        match = _URI.fullmatch(uri)
        if match is None:
            raise ForbiddenUri(f"{shown(uri)} isn't a URI of the form scheme://place/path.", hint=_how_to_write(uri))
        scheme, authority, path = match["scheme"].lower(), match["authority"], match["path"] or "/"
        if scheme not in (*SCHEMES, MEMORY):
            raise ForbiddenUri(
                f"URI {shown(uri)} has the scheme {scheme!r}; only {', '.join(SCHEMES)} are read.",
                hint="Copy the object into the store first: nothing is fetched over the network by address.",
            )
        _refuse_detours(uri, path)
        if scheme == "file":
            return cls(scheme, "", _file_segments(uri, authority, path))
        if not _BUCKET.fullmatch(authority) and not (scheme == MEMORY and not authority):
            raise ForbiddenUri(
                f"URI {shown(uri)} has {authority!r} where a plain bucket name is expected.",
                hint=f"Write {scheme}://bucket/path, without user, password, port or region.",
            )
        return cls(scheme, authority, _segments(path))

    @property
    def uri(self) -> str:
        """The location as a URI; `parse` gives the same location back."""
        path = "/".join(self.segments)
        if self.scheme == "file":
            return f"file:///{quote(path, safe='/~')}"
        return f"{self.scheme}://{self.bucket}/{path}"

    def within(self, prefix: Location) -> bool:
        """Whether this place lies inside (or is) another; whole path segments count, not characters."""
        return (
            self.scheme == prefix.scheme
            and self.bucket == prefix.bucket
            and self.segments[: len(prefix.segments)] == prefix.segments
        )

    def below(self, prefix: Location) -> tuple[str, ...]:
        """The segments that remain after a prefix that this place lies within."""
        return self.segments[len(prefix.segments) :]


def shown(text: str) -> str:
    """A value as it goes into an error message: quoted, escaped, at most 120 characters."""
    return repr(text if len(text) <= 120 else text[:117] + "...")


def _segments(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in path.split("/") if segment)


def _file_segments(uri: str, authority: str, path: str) -> tuple[str, ...]:
    if authority not in ("", "localhost"):
        raise ForbiddenUri(
            f"URI {shown(uri)} names the host {authority!r}; files are read on this machine only.",
            hint="Write file:///path, with three slashes.",
        )
    if "?" in path or "#" in path:
        raise ForbiddenUri(
            f"URI {shown(uri)} has a query or fragment, which files don't have.",
            hint="Write a question mark in a name as %3F and a number sign as %23.",
        )
    return _segments(unquote(path, errors="surrogateescape"))


def _decodings(text: str) -> list[str]:
    """The text and what it becomes each time somebody percent-decodes it."""
    found = [text]
    while len(found) < _DECODE_DEPTH and (decoded := unquote(found[-1], errors="replace")) != found[-1]:
        found.append(decoded)
    return found


def _decoded_to_the_end(text: str) -> str:
    return _decodings(text)[-1]


def _refuse_detours(uri: str, path: str) -> None:
    for decoded in _decodings(path):
        if "\\" in decoded:
            raise ForbiddenUri(f"URI {shown(uri)} holds a backslash.", hint="Separate folders with /.")
        if any(segment in (".", "..") for segment in decoded.split("/")):
            raise ForbiddenUri(
                f"URI {shown(uri)} goes through '.' or '..' (perhaps in an encoded form).",
                hint="Name the object by its plain path.",
            )


def _how_to_write(uri: str) -> str:
    if uri.startswith("/"):
        return f"Write file://{quote(uri, safe='/~')} for a file on this machine."
    return f"Write file:///absolute/path, or {', '.join(f'{scheme}://bucket/path' for scheme in SCHEMES[1:])}."
