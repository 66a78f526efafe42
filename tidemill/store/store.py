"""The object store as the streams see it: read by URI inside what is allowed, write under names made from content.

Relies on `Folder` for files and `Bucket` for clouds. Must never read outside the store and the allowed prefixes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tidemill.errors import ConfigError, ForbiddenUri, ObjectMissing, StoreError
from tidemill.store.location import MEMORY, Location, shown

if TYPE_CHECKING:
    from tidemill.config import Settings

_NAME_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,254}")


@dataclass(frozen=True)
class Written:
    """What `Store.write` or `Store.put` did: where the object is, and whether it had to be written."""

    uri: str
    written: bool


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of an object without reading it."""

    uri: str
    size_bytes: int
    modified: datetime


class _Backend(Protocol):
    def read(self, key: tuple[str, ...], max_bytes: int) -> bytes: ...
    def head(self, key: tuple[str, ...]) -> tuple[int, datetime]: ...
    def chunks(self, key: tuple[str, ...], max_bytes: int, start: int = 0) -> Iterator[bytes]: ...
    def create(self, key: tuple[str, ...], data: bytes, content_type: str) -> bool: ...
    def put(self, key: tuple[str, ...], file: BinaryIO, size_bytes: int, content_type: str) -> bool: ...
    def claim(self, key: tuple[str, ...], data: bytes) -> bool: ...
    def open(self, key: tuple[str, ...]) -> BinaryIO: ...
    def move(self, key: tuple[str, ...], to: tuple[str, ...]) -> None: ...
    def walk(self, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, datetime]]: ...
    def delete(self, key: tuple[str, ...]) -> bool: ...
    def link(self, key: tuple[str, ...], lasting: timedelta) -> str | None: ...


class Store:
    """Reads objects by URI, writes objects by name.

        store = Store.from_settings(load_settings())
        data = store.read("file:///srv/uploads/a.jpg", max_bytes=64_000_000)
        written = store.write("images/ab12.jpg", data, "image/jpeg")

        store.fetch("s3://uploads/talk.mov", Path("talk.mov"), max_bytes=10**10)
        written = store.put("videos/ab12.mp4", Path("talk.mp4"), "video/mp4")

    It can be sent to another process, which opens its own connections; it holds none until the first use.

    Args:
        home: Where objects are written, and may be read.
        allow: Further prefixes that may be read.
    """

    def __init__(self, home: Location, allow: tuple[Location, ...] = ()) -> None:
        self.home = home
        self.allow = allow
        self._backends: dict[Location, _Backend] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        """The store that Settings name.

        Raises:
            ConfigError: `store_url` or one of `store_allow` is no usable URI.
        """
        return cls.from_urls(settings.object_store, settings.store_allow)

    @classmethod
    def from_urls(cls, home: str, allow: Sequence[str] = ()) -> Store:
        """The store at a URL, and further prefixes that may be read.

        Raises:
            ConfigError: One of them is no usable URI.
        """
        return cls(_setting("store_url", home), tuple(_setting("store_allow", prefix) for prefix in allow))

    def __reduce__(self) -> tuple[type[Store], tuple[Location, tuple[Location, ...]]]:
        if self.home.scheme == MEMORY:
            raise StoreError("A store in memory can't be sent to another process.", hint="Use a file:// store.")
        return (type(self), (self.home, self.allow))

    def read(self, uri: str, max_bytes: int) -> bytes:
        """All bytes of an object.

        Args:
            uri: Where it is.
            max_bytes: More are not read.

        Raises:
            ForbiddenUri: Outside the store and the allowed prefixes, or an attempt to leave them.
            ObjectMissing: Nothing is there.
            ObjectTooLarge: It has more than `max_bytes`.
            StoreUnavailable: The store didn't answer (retriable).
            StoreError: The store refuses.
        """
        backend, key = self._find(uri)
        return backend.read(key, max_bytes)

    def fetch(self, uri: str, path: Path, max_bytes: int) -> int:
        """Copy an object to a local file, piece by piece.

        Args:
            uri: Where it is.
            path: The file; one that is there is replaced. Without an error all of it is there, else none.
            max_bytes: More are not copied.

        Returns:
            Its size in bytes.

        Raises:
            OSError: The local file can't be written.
            StoreError: As for `read`.
        """
        backend, key = self._find(uri)
        part = path.with_name(f".{path.name}.part")
        total = 0
        try:
            with part.open("wb") as file:
                for chunk in backend.chunks(key, max_bytes):
                    total += file.write(chunk)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return total

    def chunks(self, uri: str, max_bytes: int, start: int = 0) -> Iterator[bytes]:
        """The bytes of an object, a megabyte or so at a time.

        Args:
            uri: Where it is.
            max_bytes: Of an object that has more, nothing is read.
            start: The first byte that is read, below the object's size, counted from 0.

        Raises:
            StoreError: As for `read`, at the first piece or a later one.
        """
        backend, key = self._find(uri)
        return backend.chunks(key, max_bytes, start)

    def link(self, uri: str, lasting: timedelta) -> str | None:
        """A URL by which anybody can read an object of a bucket, for a while.

        Args:
            uri: Where it is.
            lasting: How long it can be used; the clouds take a week at most.

        Returns:
            None where there can be none: a file, or credentials that can't sign.

        Raises:
            ForbiddenUri: As for `read`; whether there is such an object isn't looked at.
        """
        backend, key = self._find(uri)
        return backend.link(key, lasting)

    def uri_of(self, name: str) -> str:
        """The URI that `write` and `put` give an object of this name; raises ValueError as they do."""
        return self._place(name).uri

    def head(self, uri: str) -> ObjectInfo:
        """Size and time of an object; raises what `read` raises."""
        backend, key = self._find(uri)
        size_bytes, modified = backend.head(key)
        return ObjectInfo(uri, size_bytes, modified)

    def exists(self, uri: str) -> bool:
        """Whether there is an object; raises what `read` raises, except ObjectMissing."""
        try:
            self.head(uri)
        except ObjectMissing:
            return False
        return True

    def write(self, name: str, data: bytes, content_type: str) -> Written:
        """Write an object under a name that is made from its content.

        Because of that, an object that is there under this name with this size is the same, and is left alone; one of
        another size is damaged, and is replaced. Readers see all of it or nothing.

        Args:
            name: Path below the store, e.g. `images/ab12.jpg`: letters, digits, `.`, `_`, `-`, `=`, separated by `/`.
            data: The bytes.
            content_type: Media type, kept by buckets.

        Raises:
            ValueError: The name has other characters.
            StoreUnavailable: The store didn't answer (retriable).
            StoreError: The store refuses.
        """
        place = self._place(name)
        backend, key = self._open(self.home, place)
        return Written(place.uri, backend.create(key, data, content_type))

    def put(self, name: str, path: Path | BinaryIO, content_type: str) -> Written:
        """Write a local file as an object, piece by piece; else as `write`, an object that is there included.

        Args:
            name: Path below the store, made from the file's content or from all that determines it.
            path: The file, or one that is open for reading bytes and stays open; nobody may change it meanwhile.
            content_type: Media type, kept by buckets.

        Raises:
            OSError: The local file can't be read.
            ValueError, StoreError: As for `write`.
        """
        place = self._place(name)
        backend, key = self._open(self.home, place)
        with nullcontext(path) if not isinstance(path, Path) else path.open("rb") as file:
            file.seek(0)
            size_bytes = os.fstat(file.fileno()).st_size
            return Written(place.uri, backend.put(key, file, size_bytes, content_type))

    def claim(self, name: str, data: bytes) -> bool:
        """Write an object only if nothing is there under this name: of many who do it at once, one succeeds.

        Args:
            name: As for `write`.
            data: The bytes.

        Returns:
            Whether this call has written it. A bucket's answer that was lost, and asked for again, makes False of a
            success: who has to know reads the object, and looks whether it is their own.

        Raises:
            ValueError, StoreError: As for `write`; the latter also where the store can't do it.
        """
        backend, key = self._open(self.home, self._place(name))
        return backend.claim(key, data)

    def open(self, uri: str) -> BinaryIO:
        """An object as a file to read and seek in, for what needs parts of it; raises what `read` raises.

        What is read of a bucket's object is asked for piece by piece; OSError then tells of failures.
        """
        backend, key = self._find(uri)
        return backend.open(key)

    def move(self, name: str, to: str) -> str:
        """Give an object another name; one that is there under it is replaced.

        In a folder in one step; in a bucket it is copied, then removed, so that both names are there for a moment.

        Returns:
            Its new URI.

        Raises:
            ObjectMissing: Nothing is there.
            ValueError, StoreError: As for `write`.
        """
        backend, key = self._open(self.home, self._place(name))
        place = self._place(to)
        backend.move(key, self._open(self.home, place)[1])
        return place.uri

    def uri(self, name: str) -> str:
        """The URI of an object of the store, whether or not it is there.

        Raises:
            ValueError: As for `write`.
        """
        return self._place(name).uri

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects below the store, as they are found.

        Objects that no URI can name (control characters, backslashes, no UTF-8) are left out, and so are links.

        Args:
            prefix: Folders below the store, e.g. `images/2026`; whole names count, not characters. Empty: all.

        Raises:
            ValueError: The prefix has other characters than `write` allows.
            StoreUnavailable: The store didn't answer (retriable).
            StoreError: The store refuses.
        """
        place = self._place(prefix) if prefix else self.home
        backend, key = self._open(self.home, place)
        above = self.home.segments if self.home.scheme == "file" else ()
        for found, size_bytes, modified in backend.walk(key):
            uri = _uri(Location(self.home.scheme, self.home.bucket, above + found))
            if uri is not None:
                yield ObjectInfo(uri, size_bytes, modified)

    def delete(self, uri: str) -> bool:
        """Remove an object of the store itself; what may only be read is never removed.

        Args:
            uri: Where it is.

        Returns:
            Whether it was there.

        Raises:
            ForbiddenUri: Outside the store, in one of the allowed prefixes, or no regular file.
            StoreUnavailable: The store didn't answer (retriable).
            StoreError: The store refuses.
        """
        place = Location.parse(uri)
        if place == self.home or not place.within(self.home):
            raise ForbiddenUri(
                f"URI {shown(uri)} lies outside the object store; only what is in it can be deleted.",
                hint=f"The store is {self.home.uri}.",
            )
        # A prefix around the store says nothing of it; one inside takes a part of it out.
        for prefix in self.allow:
            if place.within(prefix) and prefix.within(self.home) and prefix != self.home:
                raise ForbiddenUri(
                    f"URI {shown(uri)} lies in {prefix.uri}, which this worker may only read.",
                    hint="Remove that prefix from TIDEMILL_STORE_ALLOW to let objects in it be deleted.",
                )
        backend, key = self._open(self.home, place)
        return backend.delete(key)

    def _place(self, name: str) -> Location:
        """The place of a name below the store."""
        parts = tuple(name.split("/"))
        if not all(_NAME_PART.fullmatch(part) for part in parts):
            raise ValueError(
                f"Object names are letters, digits, '.', '_', '-', '=', separated by '/': found {shown(name)}."
            )
        return Location(self.home.scheme, self.home.bucket, self.home.segments + parts)

    def _find(self, uri: str) -> tuple[_Backend, tuple[str, ...]]:
        place = Location.parse(uri)
        for prefix in (self.home, *self.allow):
            if place.within(prefix):
                return self._open(prefix, place)
        raise ForbiddenUri(
            f"URI {shown(uri)} lies outside the object store and the prefixes that this worker may read.",
            hint="Put the object into the store, or add its prefix to TIDEMILL_STORE_ALLOW.",
        )

    def _open(self, prefix: Location, place: Location) -> tuple[_Backend, tuple[str, ...]]:
        """The backend for a place, and the place's key in it."""
        if place.scheme == "file":
            folder = self._backends.get(prefix)
            if folder is None:
                from tidemill.store.folder import Folder

                folder = self._backends[prefix] = Folder(Path("/", *prefix.segments))
            return folder, place.below(prefix)
        whole = Location(place.scheme, place.bucket, ())
        bucket = self._backends.get(whole)
        if bucket is None:
            from tidemill.store.bucket import Bucket

            bucket = self._backends[whole] = Bucket(whole)
        return bucket, place.segments


def _uri(place: Location) -> str | None:
    """The URI of a place that was found by listing; None where reading it back would mean another place, or none."""
    try:
        uri = place.uri
        return uri if Location.parse(uri) == place else None
    except (ForbiddenUri, UnicodeEncodeError):
        return None


def _setting(name: str, uri: str) -> Location:
    try:
        return Location.parse(uri)
    except ForbiddenUri as error:
        raise ConfigError(f"Setting {name!r} can't be used: {error.message}", hint=error.hint) from error
