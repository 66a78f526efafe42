"""Programs in the cache folder: fetched once, verified, and checked cheaply each time they are used.

Relies on a lock file against two first fetches at once, and on a stamp written last: a folder without a valid stamp is
not there. Must never hand out a program of which a file is missing or differs from what was verified.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from filelock import FileLock

from tidemill.errors import LocalError
from tidemill.local import repository
from tidemill.local.artifacts import Artifact, Package
from tidemill.local.progress import Progress

STAMP = ".verified.json"
PARALLEL_FETCHES = 4


def ensure(
    packages: Sequence[Package],
    cache_dir: Path,
    *,
    progress: Progress,
    remotes: Mapping[str, str] | None = None,
) -> list[Path]:
    """The folders of these packages, fetched if they are not there yet.

    Args:
        packages: What is needed.
        cache_dir: Where programs are kept; made if missing.
        progress: Told of what is fetched.
        remotes: Name -> address of Maven repositories; by default those that jgo knows.

    Returns:
        One folder per package, in order.

    Raises:
        LocalError: Something can't be fetched, doesn't match its sum, or there is no room.
    """
    folders = [cache_dir / package.folder_name for package in packages]
    if all(is_complete(package, folder) for package, folder in zip(packages, folders, strict=True)):
        return folders
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / "fetch.lock"):
            for package, folder in zip(packages, folders, strict=True):
                # Another process may have fetched it while this one waited for the lock.
                if not is_complete(package, folder):
                    _fetch_package(package, folder, progress, remotes or repository.repositories())
    except OSError as error:
        raise LocalError(
            f"The cache folder {cache_dir} can't be written: {error}.",
            hint="Set TIDEMILL_CACHE_DIR to a folder of yours that can be.",
        ) from error
    return folders


def is_complete(package: Package, folder: Path) -> bool:
    """Whether the folder holds the package as it was verified: same lock, and every file of the same size and time."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return stamp["artifacts"] == _sums(package) and all(
            _fingerprint(folder / name) == fingerprint for name, fingerprint in stamp["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False  # no stamp, an unreadable one, or a missing file: all mean "fetch it again"


def _sums(package: Package) -> dict[str, str]:
    return {artifact.file_name: artifact.sha256 for artifact in package.artifacts}


def _fingerprint(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _fetch_package(package: Package, folder: Path, progress: Progress, remotes: Mapping[str, str]) -> None:
    downloads = folder.with_name(folder.name + ".downloads") if package.unpack else folder
    downloads.mkdir(parents=True, exist_ok=True)
    (folder / STAMP).unlink(missing_ok=True)
    _remove_strangers(package, downloads)
    missing = [artifact for artifact in package.artifacts if not _already_here(artifact, downloads)]
    _check_room(package, missing, folder)

    title = f"{package.title} {package.version}"
    progress.fetch_started(title, sum(artifact.size_bytes for artifact in missing))
    _fetch_all(missing, downloads, title, progress, remotes)
    if package.unpack:
        _unpack(downloads / package.artifacts[0].file_name, folder, package)
        shutil.rmtree(downloads)
    _write_stamp(package, folder)
    progress.fetch_finished(title)


def _remove_strangers(package: Package, folder: Path) -> None:
    """Drop what an interrupted fetch or an older lock left behind."""
    wanted = {artifact.file_name for artifact in package.artifacts}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in wanted:
            path.unlink()


def _already_here(artifact: Artifact, folder: Path) -> bool:
    path = folder / artifact.file_name
    if not path.exists():
        return False
    if path.stat().st_size == artifact.size_bytes and repository.sha256_of(path) == artifact.sha256:
        return True
    path.unlink()
    return False


def _check_room(package: Package, missing: Sequence[Artifact], folder: Path) -> None:
    needed_bytes = sum(artifact.size_bytes for artifact in missing) + package.size_bytes * 1.2 * package.unpack
    if shutil.disk_usage(folder.parent).free < needed_bytes:
        raise repository.no_room(f"{package.title} {package.version}", int(needed_bytes), folder.parent)


def _fetch_all(
    artifacts: Sequence[Artifact], folder: Path, title: str, progress: Progress, remotes: Mapping[str, str]
) -> None:
    cancelled = Event()

    def one(artifact: Artifact) -> None:
        repository.fetch(
            artifact,
            folder,
            remotes=remotes,
            on_bytes=lambda byte_count: progress.fetch_advanced(title, byte_count),
            cancelled=cancelled,
        )

    with ThreadPoolExecutor(PARALLEL_FETCHES, thread_name_prefix="tidemill-fetch") as pool:
        # Largest first, so that the last one to end is a small one.
        futures = [pool.submit(one, a) for a in sorted(artifacts, key=lambda a: a.size_bytes, reverse=True)]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            # After an error or Ctrl-C the others stop at their next chunk instead of holding up the exit.
            cancelled.set()
            pool.shutdown(cancel_futures=True)


def _unpack(archive: Path, folder: Path, package: Package) -> None:
    unpacking = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(unpacking, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            # PEP 706; Python before 3.11.4 has no filters, and the archive's sum is verified.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            tar.extractall(unpacking)
        unpacking.rename(folder)
    except tarfile.TarError as error:
        raise LocalError(
            f"{archive} can't be unpacked: {error}.", hint="Remove the file and run `tidemill up` again."
        ) from error
    except OSError as error:
        if error.errno in repository._NO_ROOM:
            raise repository.no_room(package.title, package.size_bytes, folder.parent) from error
        raise
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


def _write_stamp(package: Package, folder: Path) -> None:
    files = {str(path.relative_to(folder)): _fingerprint(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    stamp = folder / (STAMP + ".new")
    stamp.write_text(json.dumps({"artifacts": _sums(package), "files": files}), encoding="utf-8")
    stamp.replace(folder / STAMP)
