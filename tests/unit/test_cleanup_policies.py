"""cleanup.toml: what policies say, and that a faulty file is refused with all of its faults and their lines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streams.cleanup.faults import PoliciesError
from streams.cleanup.policies import find_policy, parse_policies, read_policies
from streams.cleanup.policy import FilesPolicy, RowsPolicy
from streams.cleanup.settings import load_cleanup_settings
from streams.cleanup.table_name import TableName
from tests.unit.cleaning import declared
from tidemill.errors import ConfigError, Reject

EXAMPLE = Path(__file__).parents[2] / "examples/cleanup.toml"


def _faults(text: str) -> list[str]:
    with pytest.raises(PoliciesError) as caught:
        parse_policies(text)
    return [str(fault) for fault in caught.value.faults]


def test_a_policy_says_all_that_there_is_to_say() -> None:
    (policy,) = parse_policies(
        """
        [[policy]]
        name = "closed-orders"
        database = "shop"
        table = 'public."Order Items"'
        age = "closed_at"
        older_than = "730d"
        timezone = "Europe/Paris"
        condition = "state = 'closed'"
        batch_rows = 100
        pause_seconds = 1.5
        archive = "archive/orders"
        max_rows = 5000
        max_share = 0.05
        max_time = "10m"
        dry_run = true
        cascade = true
        lock_seconds = 1
        statement_seconds = 30
        """
    )
    assert policy == RowsPolicy(
        name="closed-orders",
        database="shop",
        table=TableName("public", "Order Items"),
        age="closed_at",
        older_than=timedelta(days=730),
        timezone=ZoneInfo("Europe/Paris"),
        condition="state = 'closed'",
        batch_rows=100,
        pause_seconds=1.5,
        archive="archive/orders",
        max_rows=5000,
        max_share=0.05,
        max_time=timedelta(minutes=10),
        dry_run=True,
        cascade=True,
        lock_seconds=1,
        statement_seconds=30,
    )


def test_the_example_is_in_order() -> None:
    policies = read_policies(EXAMPLE)
    assert {type(policy) for policy in policies} == {RowsPolicy, FilesPolicy}


def test_all_faults_are_told_at_once_each_with_its_line() -> None:
    text = """# policies
[[policy]]
name = "Old Sessions"
database = "postgresql://app:secret@db/shop"
table = "sessions; DROP TABLE users"
age = "seen"
older_then = "90d"
condition = "1=1"
max_share = 20

[[policy]]
name = "exports"
kind = "files"
prefix = "../secrets"
older_than = "0d"
table = "x"

[[policy]]
name = "exports"
kind = "folders"

[[policy]]
name = "exports"
database = "shop"
table = "t"
condition = '''
  age = 1 -- always
'''
batch_rows = true
"""
    faults = _faults(text)
    assert [int(fault.partition(":")[0]) for fault in faults] == [3, 4, 5, 6, 7, 8, 9, 14, 15, 16, 20, 23, 26, 29]
    told = "\n".join(faults)
    assert "expected a-z, 0-9, - and _" in told
    assert "secret@db" not in told
    assert "age goes with older_than, which isn't there" in told
    assert "there is no key 'older_then'" in told
    assert "it names no column, so it holds for all rows or for none" in told
    assert "max_share is 20, expected a number from 0 to 1" in told
    assert "prefix is '../secrets', expected folders below the object store" in told
    assert "expected 'rows' or 'files'" in told
    assert "it holds a comment (--)" in told
    assert "batch_rows is True, expected a whole number" in told


def test_a_policy_that_names_no_row_would_mean_all_and_is_refused() -> None:
    (fault,) = _faults('[[policy]]\nname = "all"\ndatabase = "shop"\ntable = "sessions"\n')
    assert fault == '1: policy "all": there is neither an age nor a condition, so it would mean every row.'


def test_names_are_used_once() -> None:
    twice = f"{declared('')}\n{declared('')}"
    (fault,) = _faults(twice)
    assert "line 2 has this name already" in fault


def test_a_file_of_other_things_is_refused() -> None:
    assert _faults("[[job]]\nname = 1\n") == ["1: there is no key 'job'."]
    assert _faults("policy = 3\n") == ["1: policy isn't a list of tables."]
    assert _faults("[[policy]\n")[0].startswith("1: it is not TOML: ")


def test_a_file_that_isnt_there_or_isnt_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cleanup\.toml can't be read: No such file or directory"):
        read_policies(tmp_path / "cleanup.toml")
    (tmp_path / "cleanup.toml").write_bytes(b"# \n\xff")
    with pytest.raises(PoliciesError, match=r"cleanup\.toml:2: it is not UTF-8: byte 0xff"):
        read_policies(tmp_path / "cleanup.toml")


def test_a_policy_that_isnt_there_is_asked_for_by_mistake() -> None:
    with pytest.raises(Reject, match=r"There is no policy 'sesions'\. Did you mean 'sessions'\?"):
        find_policy(parse_policies(declared("")), "sesions")


@pytest.mark.parametrize("name", ["", "a.b.c", "a b", 'a"b', '"a', "1a", "a;b", "a.", ".a", "é'", '""'])
def test_a_table_is_a_name_or_two(name: str) -> None:
    with pytest.raises(ValueError, match="expected a table or schema"):
        TableName.parse(name)


def test_quoted_names_are_taken_literally() -> None:
    assert TableName.parse('"we""ird; DROP"."t.t"') == TableName('we"ird; DROP', "t.t")
    assert TableName.parse("Public.Orders") == TableName("Public", "Orders")


def test_databases_are_found_by_name_and_their_passwords_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_CLEANUP_DATABASES__SHOP", "postgresql://app:secret@db/shop")
    settings = load_cleanup_settings()
    assert settings.database_url("shop") == "postgresql://app:secret@db/shop"
    assert settings.database_url("sqlite:///x.db") == "sqlite:///x.db"
    assert "secret" not in repr(settings)
    with pytest.raises(ConfigError, match=r"No database is named 'shp'\. Did you mean 'shop'\?"):
        settings.database_url("shp")
    monkeypatch.setenv("TIDEMILL_CLEANUP_DATABASES", '{"shop": "postgresql://app:secret@db/shop"')
    with pytest.raises(ConfigError, match="TIDEMILL_CLEANUP_DATABASES") as caught:
        load_cleanup_settings()
    assert "secret" not in str(caught.value)
