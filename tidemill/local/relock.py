"""Write `artifacts.lock.json` anew: `python -m tidemill.local.relock`, for whoever moves a version up.

Relies on jgo to find every jar that a program needs at run time. Fetches each file once, into a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from jgo.maven import Artifact as MavenArtifact
from jgo.maven import MavenContext, PythonResolver

from tidemill.local.artifacts import LOCK_FILE, Artifact, Package, PackageName, format_lock
from tidemill.local.repository import repositories, sha256_of

KAFKA_VERSION = "4.3.1"
REGISTRY_VERSION = "3.3.3"
# Kafka brings log4j's core but not the binding that its own distribution adds.
LOG4J_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"

WANTED = (
    Package(
        "kafka",
        "Apache Kafka",
        KAFKA_VERSION,
        (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", LOG4J_BINDING),
        False,
        (),
    ),
    Package(
        "registry",
        "Apicurio Registry",
        REGISTRY_VERSION,
        (f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:all:tar.gz",),
        True,
        (),
    ),
)


def resolve(package: Package, folder: Path) -> Package:
    """The package with every artifact that it needs at run time, sums and sizes read from the files themselves."""
    context = MavenContext(resolver=PythonResolver(), repo_cache=folder, remote_repos=repositories(), timeout=60)
    found: dict[tuple[str, str], MavenArtifact] = {}
    for coordinate in package.roots:
        group, name, version, classifier, packaging = Artifact(coordinate, "", 0).parts
        root = context.project(group, name).at_version(version).artifact(classifier, packaging)
        found.setdefault((group, name), root)
        if package.unpack:
            continue
        # One root at a time, the first one wins: together, each root's dependencyManagement would change the other's.
        _, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
        for dependency in transitive:
            if dependency.scope in ("compile", "runtime"):
                found.setdefault((dependency.groupId, dependency.artifactId), dependency.artifact)
    artifacts = []
    for each in found.values():
        path = each.resolve()
        coordinate = f"{each.groupId}:{each.artifactId}:{each.version}"
        if each.classifier or each.packaging != "jar":
            coordinate += f":{each.classifier}:{each.packaging}"
        artifacts.append(Artifact(coordinate, sha256_of(path), path.stat().st_size))
    return Package(package.name, package.title, package.version, package.roots, package.unpack, tuple(artifacts))


def main() -> None:
    """Resolve and fetch everything, then replace the lock file."""
    packages: dict[PackageName, Package] = {}
    with tempfile.TemporaryDirectory() as folder:
        for wanted in WANTED:
            package = resolve(wanted, Path(folder))
            packages[package.name] = package
            sys.stderr.write(f"{package.title}: {len(package.artifacts)} files, {package.size_bytes / 1e6:.0f} MB\n")
    LOCK_FILE.write_text(format_lock(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
