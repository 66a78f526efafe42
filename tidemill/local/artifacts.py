"""The programs that the local stack runs, as a committed lock: every file with its size and SHA-256.

Relies on `artifacts.lock.json` beside this file, written by `python -m tidemill.local.relock`. Names no host: where
files come from is jgo's business. Nothing is run that isn't listed here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

LOCK_FILE = Path(__file__).with_name("artifacts.lock.json")

PackageName = Literal["kafka", "registry"]


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven repository.

    Args:
        coordinate: `group:artifact:version` for a jar, `group:artifact:version:classifier:packaging` for others.
        sha256: Hex digest of the file.
        size_bytes: Its exact size.
    """

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """Group, artifact, version, classifier (may be empty) and packaging."""
        group, artifact, version, *rest = self.coordinate.split(":")
        classifier, packaging = rest or ("", "jar")
        return group, artifact, version, classifier, packaging

    @property
    def file_name(self) -> str:
        """The file's name in a Maven repository, e.g. `kafka-clients-4.3.1.jar`."""
        _, artifact, version, classifier, packaging = self.parts
        return f"{artifact}-{version}{'-' + classifier if classifier else ''}.{packaging}"


@dataclass(frozen=True)
class Package:
    """A program: its files, and whether they are an archive to unpack.

    Args:
        name: `kafka` or `registry`.
        title: What people call it.
        version: Version of the program.
        roots: Coordinates that were asked for; the artifacts are these and all they need at run time.
        unpack: The one artifact is a tar.gz whose content is wanted.
        artifacts: Every file.
    """

    name: PackageName
    title: str
    version: str
    roots: tuple[str, ...]
    unpack: bool
    artifacts: tuple[Artifact, ...]

    @property
    def folder_name(self) -> str:
        """Name of its folder in the cache; another version gets another folder."""
        return f"{self.name}-{self.version}"

    @property
    def size_bytes(self) -> int:
        """Size of all that is fetched for it."""
        return sum(artifact.size_bytes for artifact in self.artifacts)


def parse_lock(text: str) -> dict[PackageName, Package]:
    """Packages by name, from the text of the lock file."""
    packages: dict[PackageName, Package] = {}
    for name, entry in json.loads(text).items():
        packages[name] = Package(
            name=name,
            title=entry["title"],
            version=entry["version"],
            roots=tuple(entry["roots"]),
            unpack=entry["unpack"],
            artifacts=tuple(
                Artifact(coordinate=a["coordinate"], sha256=a["sha256"], size_bytes=a["bytes"])
                for a in entry["artifacts"]
            ),
        )
    return packages


def format_lock(packages: dict[PackageName, Package]) -> str:
    """Text of the lock file: stable order, one artifact a line, so that a change reads well in a diff."""
    blocks = []
    for name, package in packages.items():
        head = {
            "title": package.title,
            "version": package.version,
            "roots": list(package.roots),
            "unpack": package.unpack,
        }
        lines = [f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        files = ",\n".join(
            "      " + json.dumps({"coordinate": a.coordinate, "bytes": a.size_bytes, "sha256": a.sha256})
            for a in sorted(package.artifacts, key=lambda a: a.coordinate)
        )
        lines.append(f'    "artifacts": [\n{files}\n    ]')
        blocks.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


@cache
def locked(name: PackageName) -> Package:
    """The package of this name in the committed lock."""
    return parse_lock(LOCK_FILE.read_text(encoding="utf-8"))[name]
