"""`tidemill schemas` as a person runs it, with git and without a registry."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tidemill.cli.schemas import app

BOX: dict[str, Any] = {
    "type": "record",
    "name": "BoxPacked",
    "tidemill": {"key": "label", "partitions": 6, "retention": "6h"},
    "fields": [{"name": "label", "type": "string"}],
}
WIDTH = {"name": "width", "type": "int"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one contract; nothing listens where its registry should be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMILL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEMILL_REGISTRY_URL", "http://127.0.0.1:1/apis/ccompat/v7")
    # Git must not find a repository further up, nor a person's settings.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Someone")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "someone@example.org")
    (tmp_path / "schemas").mkdir()
    write(tmp_path)
    return tmp_path


def write(project: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    schema = deepcopy(BOX)
    if change is not None:
        change(schema)
    (project / "schemas" / "box.packed.avsc").write_text(json.dumps(schema, indent=2))


def grow(**more: object) -> Callable[[dict[str, Any]], object]:
    return lambda schema: schema["fields"].append(WIDTH | more)


def git(project: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True)


def commit(project: Path, message: str = "change") -> None:
    if not (project / ".git").exists():
        git(project, "init", "--initial-branch=main")
    git(project, "add", "schemas")
    git(project, "commit", "--message", message)


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))


def checked(*arguments: str) -> Any:
    (row,) = json.loads(run("check", "--json", *arguments).stdout)
    return row


def test_an_unchanged_contract_passes(project: Path) -> None:
    commit(project)

    result = run("check")

    assert result.exit_code == 0
    assert "box.packed" in result.stdout
    assert "unchanged" in result.stdout
    assert (
        "registry: skipped. The schema registry at http://127.0.0.1:1/apis/ccompat/v7 doesn't answer" in result.stderr
    )
    assert "Start it with `tidemill up`." in result.stderr


def test_a_compatible_change_passes(project: Path) -> None:
    commit(project)
    write(project, grow(default=0))

    result = run("check", "--offline")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "compatible" in result.stdout


def test_an_incompatible_change_fails_with_its_reason(project: Path) -> None:
    commit(project)
    write(project, grow())

    result = run("check", "--offline")

    assert result.exit_code == 1
    assert "incompatible" in result.stdout
    assert "box.packed: field 'width' was added without a default" in result.stderr
    assert "give it a default" in result.stderr
    assert "(against HEAD in git)" in result.stderr
    assert checked("--offline")["faults"][0].startswith("field 'width' was added")


def test_a_contracts_own_level_decides(project: Path) -> None:
    commit(project)

    def change(schema: dict[str, Any]) -> None:
        grow()(schema)
        schema["tidemill"]["compatibility"] = "FORWARD"

    write(project, change)

    assert run("check", "--offline").exit_code == 0


def test_a_new_contract_passes(project: Path) -> None:
    commit(project)
    write(project, lambda schema: schema["tidemill"].update(type="box.sent"))
    (project / "schemas" / "box.packed.avsc").rename(project / "schemas" / "box.sent.avsc")

    assert checked("--offline")["git"] == "new"


def test_a_branch_is_compared_with_where_it_left_main(project: Path) -> None:
    commit(project)
    git(project, "checkout", "-b", "feature")
    write(project, grow())
    commit(project, "on the branch")
    git(project, "checkout", "main")
    write(project, lambda schema: schema.update(doc="Main goes on."))
    commit(project, "on main")
    git(project, "checkout", "feature")

    row = checked("--offline")

    assert row["git"] == "incompatible"
    assert " in git)" in row["faults"][0]
    assert "HEAD" not in row["faults"][0]


def test_a_revision_can_be_named(project: Path) -> None:
    commit(project)
    git(project, "tag", "v1")
    write(project, grow())
    commit(project, "later")

    assert checked("--offline")["git"] == "unchanged"
    assert checked("--offline", "--against", "v1")["faults"][0].endswith("(against v1 in git)")


def test_an_unknown_revision_is_an_error(project: Path) -> None:
    commit(project)

    for revision in ("v9", "--output=x"):
        result = run("check", "--offline", f"--against={revision}")

        assert result.exit_code == 1
        assert f"Git knows no revision '{revision}'" in result.stderr
        assert "Name a branch, a tag or a commit with --against." in result.stderr


def test_what_was_broken_in_git_is_taken_as_new(project: Path) -> None:
    (project / "schemas" / "box.packed.avsc").write_text("{")
    commit(project)
    write(project)

    assert checked("--offline")["git"] == "new (was broken at HEAD)"


@pytest.mark.parametrize("prepare", [lambda project: None, lambda project: git(project, "init")])
def test_without_history_git_is_skipped_and_said_so(project: Path, prepare: Callable[[Path], None]) -> None:
    prepare(project)

    result = run("check", "--offline")

    assert result.exit_code == 0
    assert "git: skipped, " in result.stderr
    assert "not a git repository" in result.stderr or "no commit yet" in result.stderr
    assert "skipped" in result.stdout


def test_without_git_its_side_is_skipped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))

    result = run("check", "--offline")

    assert result.exit_code == 0
    assert "git: skipped, git is not installed." in result.stderr


def test_faulty_contracts_are_shown_as_errors(project: Path) -> None:
    write(project, lambda schema: schema["tidemill"].update(partitions=0))

    result = run("check")

    assert result.exit_code == 1
    assert "error: box.packed.avsc: partitions must be a whole number" in result.stderr


def test_a_registry_whose_settings_are_wrong_is_not_skipped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REGISTRY_URL", "ftp://127.0.0.1")

    result = run("check")

    assert result.exit_code == 1
    assert "error: The registry's settings can't be used" in result.stderr


def test_a_module_of_ones_own_is_generated(project: Path) -> None:
    result = run("generate", "--out", "events.py")

    assert result.exit_code == 0
    assert "events.py written: 1 event type." in result.stderr
    assert "class BoxPacked:" in (project / "events.py").read_text()
    assert "events.py is up to date" in run("generate", "--out", "events.py").stderr


def test_a_stale_module_is_shown_as_a_difference_and_left_alone(project: Path) -> None:
    run("generate", "--out", "events.py")
    before = (project / "events.py").read_text()
    write(project, grow(default=0))

    result = run("generate", "--out", "events.py", "--check")

    assert result.exit_code == 1
    assert "+    width: int = 0" in result.stdout
    assert "error: events.py is stale." in result.stderr
    assert "Run `tidemill schemas generate`" in result.stderr
    assert (project / "events.py").read_text() == before


def test_a_fresh_module_passes_the_check(project: Path) -> None:
    run("generate", "--out", "events.py")

    assert run("generate", "--out", "events.py", "--check").exit_code == 0


def test_generate_asks_where_to_write(project: Path) -> None:
    result = run("generate")

    assert result.exit_code == 1
    assert "There is no tidemill/events.py here to write." in result.stderr
    assert "Name yours: --out billing/events.py." in result.stderr


def test_a_place_that_can_not_be_written_is_an_error(project: Path) -> None:
    result = run("generate", "--out", "missing/events.py")

    assert result.exit_code == 1
    assert "missing/events.py can't be written: No such file or directory. " not in result.stdout
    assert "missing/events.py can't be written: No such file or directory." in result.stderr


def test_register_without_a_registry_says_how_to_start_it(project: Path) -> None:
    result = run("register")

    assert result.exit_code == 1
    assert "error: The schema registry at http://127.0.0.1:1/apis/ccompat/v7 doesn't answer" in result.stderr
    assert "Start it with `tidemill up`." in result.stderr


def test_installed_event_types_are_listed(project: Path) -> None:
    rows = json.loads(run("list", "--json").stdout)

    assert {row["type"] for row in rows} >= {"image.requested", "image.processed"}
    assert "image.requested" in run("list").stdout


def test_the_contracts_of_a_folder_are_listed(project: Path) -> None:
    assert json.loads(run("list", "--schemas", "schemas", "--json").stdout) == [
        {
            "type": "box.packed",
            "topic": "box.packed",
            "key": "label",
            "partitions": 6,
            "retention": "6h",
            "cleanup": "delete",
            "compatibility": "BACKWARD",
        }
    ]


@pytest.mark.parametrize("command", ["check", "register", "generate", "list"])
def test_help_ends_with_examples(command: str) -> None:
    shown = run(command, "--help").stdout

    assert "Example" in shown
    assert f"tidemill schemas {command}" in shown
