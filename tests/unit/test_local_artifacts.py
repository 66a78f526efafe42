"""The committed lock of what the local stack runs."""

from __future__ import annotations

import re

import pytest

from tidemill.local import artifacts
from tidemill.local.artifacts import Artifact, PackageName


@pytest.mark.parametrize("name", ["kafka", "registry"])
def test_every_locked_file_has_a_sum_a_size_and_a_name_of_its_own(name: PackageName) -> None:
    package = artifacts.locked(name)
    assert package.artifacts
    assert all(re.fullmatch("[0-9a-f]{64}", artifact.sha256) for artifact in package.artifacts)
    assert all(artifact.size_bytes > 0 for artifact in package.artifacts)
    assert len({artifact.file_name for artifact in package.artifacts}) == len(package.artifacts)


def test_the_lock_holds_what_was_asked_for_in_the_versions_it_names() -> None:
    for name in ("kafka", "registry"):
        package = artifacts.parse_lock(artifacts.LOCK_FILE.read_text())[name]
        locked = {artifact.coordinate for artifact in package.artifacts}
        assert set(package.roots) <= locked
        assert package.version in package.roots[0]


def test_the_lock_is_one_version_per_library() -> None:
    libraries = [artifact.parts[:2] for artifact in artifacts.locked("kafka").artifacts]
    assert len(set(libraries)) == len(libraries)


def test_the_lock_names_no_host() -> None:
    assert "//" not in artifacts.LOCK_FILE.read_text()


def test_writing_the_lock_and_reading_it_back_changes_nothing() -> None:
    text = artifacts.LOCK_FILE.read_text()
    assert artifacts.format_lock(artifacts.parse_lock(text)) == text


@pytest.mark.parametrize(
    ("coordinate", "file_name"),
    [
        ("org.apache.kafka:kafka-clients:4.3.1", "kafka-clients-4.3.1.jar"),
        ("io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz", "apicurio-registry-app-3.3.3-all.tar.gz"),
    ],
)
def test_a_coordinate_names_its_file(coordinate: str, file_name: str) -> None:
    assert Artifact(coordinate, "", 0).file_name == file_name
