"""The house's rules for files, which no linter knows: sizes, names, locks, make targets, containers, CI.

Reads the working tree, so that a fault is found before it is committed; runs only `make help` and schema checks.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tidemill.local import kafka
from tidemill.local.artifacts import locked

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
GENERATED = {"tidemill/events.py"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
# Written in parts, since this file is searched as well.
REGISTRY_HOSTS = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("proxy", "golang", "org"),
    )
)
HOME_OF_SOMEONE = re.compile(r"(?<![\w.])/(?:home|Users)/(?!me/|you/|\$)[a-z][\w.-]*/|(?<![\w.])/root/\w|C:\\Users\\\w")
LOCKED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,._-]+\])?==[\w.!+]+( ; [^\\]+)? \\")
LOCK_DETAIL = re.compile(r"    (--hash=sha256:[0-9a-f]{64}( \\)?|# .*)")


def our_files(*endings: str) -> Iterator[Path]:
    """Files of the repository with one of these endings (all, without any); not what is installed, cached or built."""
    for folder, names, files in os.walk(ROOT):
        kept = (name for name in names if name in {".ci", ".github"} or not name.startswith("."))
        names[:] = sorted(name for name in kept if name not in {"__pycache__", "build", "dist", "results"})
        for name in sorted(files):
            if not endings or name.endswith(endings):
                yield Path(folder, name)


def our_text_files() -> Iterator[tuple[str, str]]:
    """Path below the root and text of every file that is text."""
    for path in our_files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def our_modules() -> Iterator[tuple[str, Path]]:
    """Path below the root and path of every Python module of ours."""
    return ((str(path.relative_to(ROOT)), path) for path in our_files(".py"))


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))


def fits_schema(schema: str, file: str) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    lines = {
        name: path.read_text(encoding="utf-8").count("\n") for name, path in our_modules() if name not in GENERATED
    }
    assert len(lines) > 100
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = [name for name, path in our_modules() if VAGUE_NAMES & {*path.relative_to(ROOT).with_suffix("").parts}]
    assert vague == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        name for name, path in our_modules() if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_every_public_name_of_the_library_is_documented() -> None:
    silent = []
    for name, path in our_modules():
        if not name.startswith("tidemill/"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{name}: {node.name}")
    assert silent == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    packages = ("tidemill", "streams", "producers", "consumers", "scheduler")
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert sum(map(len, imports.values())) > 100
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_no_file_names_a_package_registry() -> None:
    named = [
        f"{name}: {host}"
        for name, text in our_text_files()
        for host in REGISTRY_HOSTS
        if re.search(rf"(?<![\w-])([\w-]+\.)*{re.escape(host)}\b", text)
    ]
    assert named == []


def test_no_file_holds_the_path_of_a_developers_machine() -> None:
    found = []
    for name, text in our_text_files():
        # Tests make up people and their folders.
        made_up = name.startswith("tests/")
        match = None if made_up else HOME_OF_SOMEONE.search(text)
        if match or str(ROOT) in text:
            found.append(f"{name}: {match[0] if match else ROOT}")
    assert found == []


@pytest.mark.parametrize("lock", ["dev.txt", "worker.txt"])
def test_a_lock_pins_every_package_by_version_and_hash(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    faults = [line for line in text.splitlines() if not (LOCKED.fullmatch(line) or LOCK_DETAIL.fullmatch(line))]
    assert faults == []
    packages = re.findall(r"^[a-z].*\\\n    (.*)", text, re.MULTILINE)
    assert len(packages) > 20
    assert all(first.startswith("--hash=") for first in packages)


def test_the_worker_has_the_versions_that_were_tested() -> None:
    def pins(lock: str) -> set[str]:
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        return set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE))

    assert pins("worker.txt") - pins("dev.txt") == set()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "up", "down", "bench", "help"])
def test_make_help_lists_every_target(target: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listed = subprocess.run(["make", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert re.search(rf"{target}\S* +\S+", listed.stdout), listed.stdout
    assert target in make_targets()


def test_ci_runs_what_people_run() -> None:
    for file in (".ci/run", ".github/workflows/ci.yml"):
        called = set(re.findall(r"^(?: +- run: )?make ([a-z-]+)", (ROOT / file).read_text("utf-8"), re.MULTILINE))
        assert {"lint", "test"} <= called <= make_targets(), file
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_workflow_fits_its_schema_and_can_change_nothing() -> None:
    fits_schema("vendor.github-workflows", ".github/workflows/ci.yml")
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job and "timeout-minutes" in job for job in workflow["jobs"].values())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []


def test_docker_compose_fits_its_schema() -> None:
    fits_schema("vendor.compose-spec", "docker-compose.yml")


def test_every_image_is_pinned() -> None:
    images = {name: service["image"] for name, service in compose()["services"].items()}
    images |= {
        f"Dockerfile {index}": image
        for index, image in enumerate(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.M))
    }
    assert {name: image for name, image in images.items() if not re.search(r":v?\d+\.\d+", image)} == {}


def test_every_container_is_healthy_or_ends_by_itself() -> None:
    services = compose()["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"contracts", "cli"}
    assert all(services[name]["restart"] == "no" for name in ("contracts", "cli"))


def test_every_port_is_for_this_machine_alone() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert len(ports) >= 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_container_runs_without_privileges() -> None:
    for name, service in compose()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert re.search(r"^USER \d+", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_cluster_of_containers_has_the_settings_of_the_local_stack() -> None:
    nodes = [kafka.Node(number, 9092, 9093) for number in (1, 2, 3)]
    meant = kafka.node_settings(nodes[0], nodes, Path("/var/lib/kafka/data"), {})
    addresses = {name for name in meant if "listener" in name or name in {"controller.quorum.voters", "node.id"}}
    for node in nodes:
        broker = compose()["services"][f"kafka-{node.number}"]
        variables = {name: str(value) for name, value in broker["environment"].items()}
        found = {name: variables.get("KAFKA_" + name.upper().replace(".", "_")) for name in meant}
        differing = {
            name: (found[name], meant[name]) for name in meant.keys() - addresses if found[name] != meant[name]
        }
        assert differing == {}
        assert variables["KAFKA_NODE_ID"] == str(node.number)
        assert f"CLUSTER://kafka-{node.number}:" in variables["KAFKA_ADVERTISED_LISTENERS"]


def test_the_pictures_of_the_examples_are_there() -> None:
    named = [
        (file, picture)
        for file in ("docker-compose.yml", ".github/workflows/ci.yml")
        for picture in re.findall(r"/photos/([\w-]+\.\w+)", (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert len(named) >= 3
    assert [missing for missing in named if not (ROOT / "examples" / "photos" / missing[1]).is_file()] == []


def test_containers_and_the_local_stack_run_the_same_versions() -> None:
    services = compose()["services"]
    assert services["kafka-1"]["image"] == f"apache/kafka:{locked('kafka').version}"
    assert services["registry"]["image"] == f"apicurio/apicurio-registry:{locked('registry').version}"


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    broken = []
    for path in our_files(".md"):
        prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_documentations_index_names_every_page() -> None:
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = {str(path.relative_to(docs)) for path in our_files(".md") if docs in path.parents} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_every_decision_says_what_it_costs() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        headings = re.findall(r"^## (.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings[:3] == ["Context", "Decision", "What it costs"], path.name


def test_the_version_is_the_same_everywhere() -> None:
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f'image.version="{version}"' in dockerfile
    assert json.dumps(compose()["services"]["image-worker"]["image"]) == f'"tidemill:{version}"'
