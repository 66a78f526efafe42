"""A real Postgres for tests: a cluster of its own, on a free port, gone at the end. Needs the server's programs.

The server refuses to run as root; then an unprivileged user of the machine runs it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidemill.local.ports import any_free

START_SECONDS = 60


class Postgres:
    """A running cluster, which trusts whoever connects from this machine.

    Args:
        folder: Where it is; belongs to the user that runs it.
        programs: Folder of `initdb` and `pg_ctl`.
        port: Where it listens on 127.0.0.1.
        durable: Flush to the disk, as in earnest; tests of speed want that, others don't.
    """

    user = "tidemill"

    def __init__(self, folder: Path, programs: Path, port: int, *, durable: bool = False) -> None:
        self._folder = folder
        self._programs = programs
        self.port = port
        self._durable = durable
        self._run(
            "initdb", "-D", str(self._data), "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder}"
        if not self._durable:
            options += " -c fsync=off -c synchronous_commit=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", str(START_SECONDS), "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once: connections are cut, nothing that was committed is lost."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", str(START_SECONDS), "-m", "fast", "stop")

    def new_database(self) -> str:
        """A database that nobody has used; its URL for SQLAlchemy."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, name)
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        account = _account()
        # Not into a pipe: the server keeps what its starter had.
        with (self._folder / "output").open("ab") as output:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                cwd=self._folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            said = (self._folder / "output").read_text(errors="replace")[-2000:]
            log = self._folder / "log"
            raise RuntimeError(f"{program} failed:\n{said}\n{log.read_text(errors='replace') if log.exists() else ''}")


def _account() -> pwd.struct_passwd | None:
    """Who runs the server; None for whoever runs the tests."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("Postgres doesn't run as root, and there is no user postgres or nobody to run it.")


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None where there is none."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A cluster for the time of the block; `programs()` has found its programs."""
    where = programs()
    assert where is not None
    # Not in the tests' own folder, which only their user may enter.
    folder = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
    try:
        if (account := _account()) is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        (port,) = any_free(1)
        cluster = Postgres(folder, where, port, durable=durable)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One Postgres for the whole run; stop it in a test, and start it again before its end."""
    if programs() is None:
        pytest.skip("Postgres isn't installed (`initdb`): apt-get install postgresql, or its like")
    with running_postgres() as cluster:
        yield cluster
