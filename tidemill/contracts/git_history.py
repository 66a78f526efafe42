"""Contracts as they were at a revision of the git repository that holds them.

Runs the `git` program, reading only. That there is no repository, no commit or no git is an answer, not an error.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import ContractError

MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Snapshot:
    """The .avsc files of a folder at a revision."""

    revision: str
    """Name of the revision for people, e.g. `HEAD` or `a1b2c3d`."""
    files: dict[str, bytes]
    """File name -> content."""


@dataclass(frozen=True)
class NoHistory:
    """Why there is nothing to compare with."""

    reason: str


def snapshot(folder: Path, against: str | None) -> Snapshot | NoHistory:
    """The contracts of a folder as they were before.

    Args:
        folder: The folder of .avsc files in the working tree.
        against: A revision. None: where this branch left the main branch, or HEAD on the main branch itself.

    Raises:
        ContractError: The named revision doesn't exist.
    """
    try:
        inside = _run(folder, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        return NoHistory("git is not installed")
    if inside.returncode != 0:
        said = inside.stderr.decode(errors="replace").strip().splitlines() or ["git refuses"]
        return NoHistory(f"{folder}: {said[0].removeprefix('fatal: ')}")
    if _git(folder, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return NoHistory("the git repository has no commit yet")
    revision = _departure(folder) if against is None else against
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise ContractError(
            f"Git knows no revision {revision!r} in {folder}.", hint="Name a branch, a tag or a commit with --against."
        )
    shown = revision if against is not None or revision == "HEAD" else commit.decode().strip()[:7]
    listed = _git(folder, "ls-tree", "--name-only", "-z", commit.decode().strip(), "./") or b""
    files = {}
    for name in listed.decode().split("\0"):
        if name.endswith(".avsc"):
            content = _git(folder, "show", f"{commit.decode().strip()}:./{name}")
            files[name] = content if content is not None else b""
    return Snapshot(shown, files)


def _departure(folder: Path) -> str:
    """Where the current branch left the main branch; HEAD if it is the main branch or there is none."""
    head = _git(folder, "rev-parse", "HEAD")
    for branch in MAIN_BRANCHES:
        base = _git(folder, "merge-base", "HEAD", branch)
        if base is not None:
            return "HEAD" if base == head else base.decode().strip()
    return "HEAD"


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None if it fails."""
    done = _run(folder, *arguments)
    return done.stdout if done.returncode == 0 else None


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContractError(
            f"git {arguments[0]} took more than {TIMEOUT_SECONDS} s in {folder}.", hint="Look whether git works there."
        ) from error
