"""One file out of a Maven repository, by jgo: streamed, verified against the lock, and only then given its name.

Relies on jgo for where repositories are (its own `jgo.conf` may name mirrors, tried before its default), for HTTP and
for its time limits. Must never leave a file under its final name whose SHA-256 isn't the locked one.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver

from tidemill.errors import LocalError
from tidemill.local.artifacts import Artifact

ATTEMPTS = 3
PARTIAL_PREFIX = ".partial-"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Cancelled(Exception):
    """The fetch was called off; never leaves this package."""


def repositories() -> dict[str, str]:
    """Name -> address of the Maven repositories, in the order to ask: those of the user's `jgo.conf`, jgo's default."""
    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    artifact: Artifact,
    folder: Path,
    *,
    remotes: Mapping[str, str],
    on_bytes: Callable[[int], None],
    cancelled: Event,
    timeout_seconds: int = 30,
    pause_seconds: float = 1.0,
) -> Path:
    """Fetch one artifact into a folder; after a failure of the network or a wrong sum it is tried again.

    Args:
        artifact: What to fetch, with its expected sum.
        folder: Existing folder; the file gets its Maven name there.
        remotes: Name -> address of the repositories to ask.
        on_bytes: Told of every chunk's size, and of a negative number when a failed try is taken back.
        cancelled: When set, the fetch stops at the next chunk.
        timeout_seconds: Longest silence of the server.
        pause_seconds: Wait before the second try; doubled before each further one.

    Returns:
        Path of the verified file.

    Raises:
        LocalError: Not to be had: no network, no such file, wrong sum, no room; nothing is left behind.
        Cancelled: `cancelled` was set.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch_once(artifact, folder, remotes, on_bytes, cancelled, timeout_seconds)
        except LocalError as error:
            if not error.retriable or attempt == ATTEMPTS:
                raise
        if cancelled.wait(pause_seconds * 2 ** (attempt - 1)):
            raise Cancelled
    raise AssertionError("unreachable: the last attempt returns or raises")


def _fetch_once(
    artifact: Artifact,
    folder: Path,
    remotes: Mapping[str, str],
    on_bytes: Callable[[int], None],
    cancelled: Event,
    timeout_seconds: int,
) -> Path:
    counted = 0

    @contextmanager
    def follow(_file_name: str, _total_bytes: int) -> Iterator[Callable[[int], None]]:
        def advance(byte_count: int) -> None:
            nonlocal counted
            if cancelled.is_set():
                raise Cancelled
            counted += byte_count
            on_bytes(byte_count)

        yield advance

    group, name, version, classifier, packaging = artifact.parts
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder))
    try:
        resolver = PythonResolver(progress_callback=follow)
        context = MavenContext(
            resolver=resolver, repo_cache=partial, remote_repos=dict(remotes), timeout=timeout_seconds
        )
        project = context.project(group, name).at_version(version)
        fetched = resolver.download(project.artifact(classifier=classifier, packaging=packaging))
        if fetched is None:
            raise LocalError(f"{artifact.file_name}: jgo fetched nothing and said nothing.", retriable=True)
        _verify(artifact, fetched)
        target = folder / artifact.file_name
        fetched.replace(target)
        return target
    except BaseException as error:
        on_bytes(-counted)
        if isinstance(error, (LocalError, Cancelled)) or not isinstance(error, Exception):
            raise
        raise _explained(artifact, error, remotes) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _verify(artifact: Artifact, path: Path) -> None:
    size_bytes = path.stat().st_size
    if size_bytes != artifact.size_bytes:
        raise LocalError(
            f"{artifact.file_name} came with {size_bytes:,} bytes, expected {artifact.size_bytes:,}; it was removed.",
            hint="The download was cut short or changed on its way: run `tidemill up` again.",
            retriable=True,
        )
    found = sha256_of(path)
    if found != artifact.sha256:
        raise LocalError(
            f"{artifact.file_name} has SHA-256 {found}, expected {artifact.sha256}; it was removed.",
            hint="The download was damaged or changed on its way: run `tidemill up` again. If it stays so, "
            "a mirror or proxy between here and the repository serves another file.",
            retriable=True,
        )


def _explained(artifact: Artifact, error: Exception, remotes: Mapping[str, str]) -> LocalError:
    where = ", ".join(remotes.values())
    if isinstance(error, requests.RequestException):  # before OSError, which it is too
        return LocalError(
            f"{artifact.file_name} can't be fetched from {where}: {error}.",
            hint="Check the network (HTTPS_PROXY is honoured; a mirror can be named under [repositories] in jgo.conf), "
            "then run `tidemill up` again: what is already fetched is kept.",
            retriable=True,
        )
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return no_room(artifact.file_name, artifact.size_bytes, Path(str(error.filename or "")))
    return LocalError(
        f"{artifact.file_name} can't be fetched from {where}: {error}.",
        hint="Check that the repository holds it; a mirror can be named under [repositories] in jgo.conf.",
    )


def no_room(what: str, needed_bytes: int, folder: Path) -> LocalError:
    """The error for a full disk, with what is needed."""
    return LocalError(
        f"No room on the disk for {what}: {needed_bytes / 1e6:,.0f} MB are needed in {folder}.",
        hint="Make room, or set TIDEMILL_CACHE_DIR to a folder on another disk; then run `tidemill up` again.",
    )
