"""Every key's line is found, however the TOML is written."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import pytest

from scheduler.jobs.lines import Path, key_lines, line_of

DOCUMENT = '''\
# a comment with [[job]] and a "quote
top = 1 # another

[[job]]
name = "a # not a comment ] } ="
text = """
[[job]]
name = "not a key"  \\""" still \\\\"""
literal = \'\'\'
it's ''quoted'' [x]
\'\'\'\'\'
after = 'x\\'
"quoted key" = { inner = [1, { deep = "}" }], 'other' = 2026-01-01 10:00:00 }
dotted . "a.b".c = 1
dotted.d = 2
list = [
  "one", # two ]
  [ "nested", """
multi""" ],
  { a = 1,
  }, ] # the end

[job.emit]
type="t"
  [job.emit.payload]
  x = 1e3

[[job.steps]]
n = 0
[[job.steps]]
n = 1
[job.steps.more]
m = 2

[[ job ]]
"na\\u006de" = "b"
emit.type = "t"
emit.payload = {}
[other.table]
'''.replace("{ a = 1,\n  }", "{ a = 1 }")


def paths(data: Any, path: Path = ()) -> list[Path]:
    found: list[Path] = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths(value, (*path, key))
    return found


def test_each_key_stands_where_it_is_written() -> None:
    lines = key_lines(DOCUMENT)
    written = DOCUMENT.split("\n")
    expected = {
        ("top",): "top = 1",
        ("job", 0): "[[job]]",
        ("job", 0, "name"): 'name = "a #',
        ("job", 0, "text"): 'text = """',
        ("job", 0, "literal"): "literal =",
        ("job", 0, "after"): "after =",
        ("job", 0, "quoted key"): '"quoted key"',
        ("job", 0, "quoted key", "inner", 1, "deep"): '"quoted key"',
        ("job", 0, "dotted", "a.b", "c"): "dotted . ",
        ("job", 0, "dotted", "d"): "dotted.d",
        ("job", 0, "list", 0): '  "one"',
        ("job", 0, "list", 1): '  [ "nested"',
        ("job", 0, "list", 2, "a"): "  { a = 1",
        ("job", 0, "emit"): "[job.emit]",
        ("job", 0, "emit", "type"): 'type="t"',
        ("job", 0, "emit", "payload", "x"): "  x = 1e3",
        ("job", 0, "steps", 0): "[[job.steps]]",
        ("job", 0, "steps", 0, "n"): "n = 0",
        ("job", 0, "steps", 1, "n"): "n = 1",
        ("job", 0, "steps", 1, "more", "m"): "m = 2",
        ("job", 1): "[[ job ]]",
        ("job", 1, "name"): '"na\\u006de"',
        ("job", 1, "emit", "type"): "emit.type",
        ("other", "table"): "[other.table]",
    }
    assert {path: written[lines[path] - 1][: len(start)] for path, start in expected.items()} == expected


def test_what_tomllib_reads_has_a_line_each_and_nothing_else_has() -> None:
    lists_of_tables = {("job",), ("job", 0, "steps")}
    assert set(key_lines(DOCUMENT)) == set(paths(tomllib.loads(DOCUMENT))) - lists_of_tables


def test_line_ends_of_windows_count_once() -> None:
    assert key_lines(DOCUMENT.replace("\n", "\r\n")) == key_lines(DOCUMENT)


def test_what_has_no_line_of_its_own_has_that_of_what_it_is_in() -> None:
    lines = key_lines("\n[[job]]\nname = 1\n")
    assert line_of(lines, ("job", 0, "missing", "deeper")) == 2
    assert line_of(lines, ("nothing",)) == 1


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# only", "a=1", "a='''x'''", 'a=""""x""""', 'a="""\n""""""', "a=[]", "a={}", "a=[ # c\n]", 'a="\\""'],
)
def test_the_smallest_documents_are_read(text: str) -> None:
    if text == 'a="""\n""""""':
        text = 'a="""\n"""""'
    assert set(key_lines(text)) == set(paths(tomllib.loads(text)))


def test_documents_by_chance_are_read_as_tomllib_reads_them() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        text = document_by_chance(chance)
        data = tomllib.loads(text)
        lines = key_lines(text)
        assert {path for path in paths(data) if path != ("job",)} == set(lines), text
        assert list(lines.values()) == sorted(lines.values())


def document_by_chance(chance: random.Random) -> str:
    parts = []
    for index in range(chance.randint(0, 4)):
        parts.append(chance.choice(["", "# c [\n", "\n\n", " \t\n"]) + "[[job]]" + chance.choice(["", " # x"]))
        for key in range(chance.randint(0, 5)):
            name = chance.choice([f"k{key}", f'"k {key}"', f"'k{key}'", f"a.k{key}", f" k{key} . b "])
            parts.append(f"{name}{chance.choice(['=', ' = '])}{value_by_chance(chance, 3)}")
        if chance.random() < 0.5:
            parts.append(f"[job.emit]\nnumber = {index}")
    return "\n".join(parts)


def value_by_chance(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(6 if depth else 4)
    if kind == 4:
        between = chance.choice([", ", ",\n  ", " , # ],\n"])
        ends = chance.choice(["", "\n", " # ]\n"])
        return f"[{ends}{between.join(value_by_chance(chance, depth - 1) for _ in range(chance.randint(0, 3)))}{ends}]"
    if kind == 5:
        pairs = (f"x{each} = {value_by_chance(chance, depth - 1)}" for each in range(chance.randint(0, 3)))
        return "{ " + ", ".join(pairs) + " }"
    texts = ['"a\\"b#]}"', "'c\\'", '"""\n]"" \\""" x"""', "'''\n''}'''", '""', "''", '""""q""""', "'''it''''"]
    return chance.choice([*texts, "1", "-1.5e3", "true", "2026-01-01T00:00:00Z", "2026-01-01 10:00:00", "inf"])
