"""Objects in a bucket of S3, Google Cloud Storage or Azure, through `obstore`; in memory for tests.

Credentials, region and endpoint come from the clouds' usual environment variables (AWS_*, GOOGLE_*, AZURE_*).
Must never turn a refusal into "try again", nor an outage into "missing": the streams decide by it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from tidemill.errors import ConfigError, ObjectMissing, StoreError, StoreUnavailable
from tidemill.store.folder import too_large
from tidemill.store.location import MEMORY, Location, shown

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import AzureStore, ClientConfig, GCSStore, MemoryStore, RetryConfig, S3Store

# For MinIO and the like on a private network; set by whoever runs the worker, never by an event.
_ALLOW_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
# Short: the stream's own policy tries again later, with the event waiting where people can see it.
_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
_CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 8 * 1024 * 1024
"""Larger objects go up in parts of this size, four at a time; 10,000 parts, the clouds' limit, are 80 GB."""


class Bucket:
    """One bucket or container.

    Args:
        place: Its location; the path is ignored.

    Raises:
        ConfigError: The client can't be made, e.g. because no account or region is set.
    """

    def __init__(self, place: Location) -> None:
        self._place = Location(place.scheme, place.bucket, ())
        self._client = _connect(self._place)

    def read(self, key: tuple[str, ...], max_bytes: int) -> bytes:
        """The bytes of one object.

        Raises:
            ObjectMissing: Nothing is there.
            ObjectTooLarge: It has more than `max_bytes`; its bytes are then not transferred.
            StoreUnavailable: No answer, or half of one.
            StoreError: The store refuses.
        """
        chunks = list(self.chunks(key, max_bytes))
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def chunks(self, key: tuple[str, ...], max_bytes: int, start: int = 0) -> Iterator[bytes]:
        """The bytes of one object from `start` on as they arrive, a megabyte at a time; raises what `read` raises."""
        import obstore

        name = self._name(key)
        with self._errors(name):
            options: GetOptions = {"range": {"offset": start}} if start else {}
            result = obstore.get(self._client, "/".join(key), options=options)
            size = result.meta["size"]
            if size > max_bytes:
                raise too_large(name, size, max_bytes)
            total = start
            for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
                total += len(chunk)
                if total > max_bytes:
                    raise too_large(name, None, max_bytes)
                yield bytes(chunk)
        if total != size:
            raise StoreUnavailable(f"{name} has {size:,} bytes, but only {total:,} arrived.")

    def head(self, key: tuple[str, ...]) -> tuple[int, datetime]:
        """Size in bytes and time of the last change of one object; raises what `read` raises."""
        import obstore

        with self._errors(self._name(key)):
            meta = obstore.head(self._client, "/".join(key))
        return meta["size"], meta["last_modified"]

    def create(self, key: tuple[str, ...], data: bytes, content_type: str) -> bool:
        """Write one object, unless it is there with this size already; returns whether it was written."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        path = "/".join(key)
        with self._errors(self._name(key)):
            try:
                # Not in parts: only a single request can be made conditional.
                obstore.put(
                    self._client,
                    path,
                    data,
                    attributes={"Content-Type": content_type},
                    mode="create",
                    use_multipart=False,
                )
            except (AlreadyExistsError, NotImplementedError):
                try:
                    if obstore.head(self._client, path)["size"] == len(data):
                        return False
                except FileNotFoundError:
                    pass  # AWS_CONDITIONAL_PUT=disabled, for stores that know no conditions: write plainly
                obstore.put(self._client, path, data, attributes={"Content-Type": content_type}, use_multipart=False)
        return True

    def put(self, key: tuple[str, ...], file: BinaryIO, size_bytes: int, content_type: str) -> bool:
        """Write one object as `create` does, from an open file that has so many bytes; large ones go in parts."""
        import obstore

        if size_bytes <= _PART_BYTES:
            return self.create(key, file.read(), content_type)
        path = "/".join(key)
        with self._errors(self._name(key)):
            # Parts can't be made conditional. It becomes visible with the last one; two writers write the same.
            try:
                if obstore.head(self._client, path)["size"] == size_bytes:
                    return False
            except FileNotFoundError:
                pass  # the usual case
            obstore.put(
                self._client,
                path,
                file,
                attributes={"Content-Type": content_type},
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=4,
            )
        return True

    def claim(self, key: tuple[str, ...], data: bytes) -> bool:
        """Write one object only if nothing is there (If-None-Match); whether this call has written it.

        Raises:
            StoreUnavailable: No answer.
            StoreError: The store refuses, or knows no conditions.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        name = self._name(key)
        try:
            with self._errors(name):
                obstore.put(self._client, "/".join(key), data, mode="create", use_multipart=False)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, AlreadyExistsError):
                return False
            raise
        except NotImplementedError as error:
            raise StoreError(
                f"The store can't write {name} on the condition that nothing is there.",
                hint="It needs conditional writes: AWS_CONDITIONAL_PUT must not be `disabled`.",
            ) from error
        return True

    def open(self, key: tuple[str, ...]) -> BinaryIO:
        """One object to read in, a megabyte at least at a time; raises what `read` raises."""
        import obstore

        from tidemill.store.object_file import ObjectFile

        with self._errors(self._name(key)):
            return io.BufferedReader(ObjectFile(obstore.open_reader(self._client, "/".join(key))), 65_536)

    def move(self, key: tuple[str, ...], to: tuple[str, ...]) -> None:
        """Copy one object to another name, then remove it; raises what `read` raises."""
        import obstore

        with self._errors(self._name(key)):
            obstore.copy(self._client, "/".join(key), "/".join(to))
            obstore.delete(self._client, "/".join(key))

    def walk(self, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, datetime]]:
        """Key, size in bytes and time of the last change of each object below a prefix, a page at a time.

        Raises:
            StoreUnavailable: No answer.
            StoreError: The store refuses.
        """
        import obstore

        with self._errors(self._name(key)):
            for page in obstore.list(self._client, "/".join(key) or None, chunk_size=1000):
                for meta in page:
                    yield tuple(meta["path"].split("/")), meta["size"], meta["last_modified"]

    def delete(self, key: tuple[str, ...]) -> bool:
        """Remove one object; whether it was there. Raises what `walk` raises."""
        import obstore

        path = "/".join(key)
        with self._errors(self._name(key)):
            try:
                obstore.head(self._client, path)  # S3 doesn't tell whether there was something to remove
            except FileNotFoundError:
                return False
            obstore.delete(self._client, path)
        return True

    def link(self, key: tuple[str, ...], lasting: timedelta) -> str | None:
        """A URL by which anybody can read one object for a while; None where these credentials can't sign one."""
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore

        if isinstance(self._client, MemoryStore):
            return None
        try:
            return obstore.sign(self._client, "GET", "/".join(key), lasting)
        except BaseError:
            return None

    def _name(self, key: tuple[str, ...]) -> str:
        return shown(Location(self._place.scheme, self._place.bucket, key).uri)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"There is no object {name}.") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreError(
                f"The store refuses access to {name}: {_first_line(error)}.",
                hint="Check the worker's credentials for this bucket.",
            ) from error
        except BaseError as error:
            raise StoreUnavailable(f"The store didn't answer for {name}: {_first_line(error)}.") from error


def _client_options(scheme: str) -> ClientConfig:
    return {
        "connect_timeout": timedelta(seconds=5),
        # Between two pieces of a body; `timeout` is for a whole request, body included.
        "read_timeout": timedelta(seconds=15),
        "timeout": timedelta(seconds=60),
        # obstore forgets the variable when it is given any option of the client.
        "allow_http": os.environ.get(_ALLOW_HTTP[scheme], "").lower() in ("1", "true", "yes", "on"),
    }


def _connect(place: Location) -> AzureStore | GCSStore | MemoryStore | S3Store:
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

    try:
        match place.scheme:
            case "s3":
                return S3Store(place.bucket, client_options=_client_options("s3"), retry_config=_RETRY)
            case "gs":
                return GCSStore(place.bucket, client_options=_client_options("gs"), retry_config=_RETRY)
            case "az":
                return AzureStore(place.bucket, client_options=_client_options("az"), retry_config=_RETRY)
            case scheme if scheme == MEMORY:
                return MemoryStore()
            case scheme:
                raise ConfigError(f"{scheme!r} is no bucket's scheme; expected s3, gs or az.")
    except BaseError as error:
        raise ConfigError(
            f"The client for {place.uri} can't be made: {_first_line(error)}.",
            hint="Set the cloud's usual variables: AWS_*, GOOGLE_* or AZURE_STORAGE_*.",
        ) from error


def _first_line(error: Exception) -> str:
    """obstore's messages go on with a dump of the Rust error; the first line is for people."""
    return str(error).partition("\n")[0].rstrip(". ")
