"""One [[policy]] of a cleanup.toml read key by key; what is wrong is noted with its line, and reading goes on.

Computes only. Whether the table is there is found out when the policy runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from streams.cleanup.condition import check_condition
from streams.cleanup.faults import PolicyFault
from streams.cleanup.policy import AgeUnit, FilesPolicy, RowsPolicy
from streams.cleanup.table_name import TableName
from tidemill.contracts.duration import parse_duration
from tidemill.contracts.faults import did_you_mean

LONGEST_RUN = timedelta(hours=6)
"""Limit of `max_time`; the stream's own time limit is a little above."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_CONNECTION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*")
_BOTH = ("name", "kind", "older_than", "max_share", "max_rows", "max_time", "dry_run")
_ROWS = (
    *("database", "table", "age", "age_unit", "timezone", "condition", "batch_rows", "pause_seconds", "archive"),
    *("cascade", "lock_seconds", "statement_seconds"),
)
_FILES = ("prefix",)
_STAND_IN = timedelta(days=36_500)


class Declaration:
    """One table of the file.

    Args:
        data: As tomllib gives it.
        lines: Line of each of its keys; that of "" is the first.
        faults: Where faults are noted.
    """

    def __init__(self, data: dict[str, Any], lines: Mapping[str, int], faults: list[PolicyFault]) -> None:
        self.data, self._lines, self._faults = data, lines, faults
        name = data.get("name")
        self.name = name if isinstance(name, str) and _NAME.fullmatch(name) else None

    def line(self, key: str) -> int:
        """Line of a key, or of the policy."""
        return self._lines.get(key) or self._lines.get("", 1)

    def fault(self, key: str, found: str, hint: str | None = None) -> None:
        """Note a fault at a key."""
        self._faults.append(PolicyFault(self.line(key), self.name, found, hint))

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Note every key that isn't known."""
        for key in self.data:
            if key not in known:
                self.fault(
                    key, f"there is no key {key!r}", did_you_mean(key, known) or f"Known are {', '.join(known)}."
                )

    def text(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "text") -> str | None:
        """A text, or None where there is none or a wrong one."""
        if key not in self.data:
            return None
        value = self.data[key]
        if not isinstance(value, str) or not value.strip() or (pattern is not None and not pattern.fullmatch(value)):
            self.fault(key, f"{key} is {_shown(value)}, expected {expected}")
            return None
        return value

    def need(self, key: str, hint: str) -> None:
        """Note that a key is missing."""
        if key not in self.data:
            self.fault("", f"there is no {key}", hint)

    def number(self, key: str, default: float, least: float, most: float, *, whole: bool = False) -> Any:
        """A number within limits, or the default."""
        value = self.data.get(key, default)
        is_number = isinstance(value, int) or (isinstance(value, float) and not whole)
        if not is_number or isinstance(value, bool) or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            self.fault(key, f"{key} is {_shown(value)}, expected {kind} from {least:,} to {most:,}")
            return default
        return value

    def duration(self, key: str, default: timedelta | None) -> timedelta | None:
        """A span of time, or the default."""
        if key not in self.data:
            return default
        try:
            value = parse_duration(self.data[key])
        except ValueError as error:
            self.fault(key, f"{key} is {_shown(self.data[key])}", str(error).replace(", or write forever", ""))
            return _STAND_IN
        if value is None:
            self.fault(key, f"{key} is 'forever'", "Remove the policy instead.")
            return _STAND_IN
        return value

    def flag(self, key: str) -> bool:
        """True or false; by default false."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            self.fault(key, f"{key} is {_shown(value)}, expected true or false")
            return False
        return value


def read_policy(table: Declaration) -> RowsPolicy | FilesPolicy | None:
    """The policy that a table declares; where faults were noted it isn't to be used, or None."""
    kind = table.data.get("kind", "rows")
    if kind not in ("rows", "files"):
        table.fault("kind", f"kind is {_shown(kind)}, expected 'rows' or 'files'")
        return None
    if "name" not in table.data:
        table.fault("", "there is no name", 'Name it: name = "old-sessions".')
    elif table.name is None:
        found = f"name is {_shown(table.data['name'])}, expected a-z, 0-9, - and _, a letter first, at most 64 of them"
        table.fault("name", found)
    max_time = table.duration("max_time", timedelta(minutes=30)) or LONGEST_RUN
    if LONGEST_RUN < max_time < _STAND_IN:
        table.fault("max_time", f"max_time is {_shown(table.data['max_time'])}, expected at most 6h")
    share = table.number("max_share", 0.2, 0, 1)
    if share == 0:
        table.fault("max_share", "max_share is 0, so that nothing could ever go", "Use dry_run = true to only count.")
    both: dict[str, Any] = {
        "name": table.name or "",
        "older_than": table.duration("older_than", None),
        "max_share": float(share),
        "max_rows": table.number("max_rows", 1_000_000, 1, 10**12, whole=True),
        "max_time": max_time,
        "dry_run": table.flag("dry_run"),
    }
    return _rows(table, both) if kind == "rows" else _files(table, both)


def _rows(table: Declaration, both: dict[str, Any]) -> RowsPolicy:
    table.refuse_unknown((*_BOTH, *_ROWS))
    table.need("database", "Name a connection of TIDEMILL_CLEANUP_DATABASES, or write a sqlite: URL.")
    table.need("table", 'Name it: table = "public.sessions".')
    for one, other in (("age", "older_than"), ("older_than", "age"), ("age_unit", "age"), ("timezone", "age")):
        if one in table.data and other not in table.data:
            table.fault(one, f"{one} goes with {other}, which isn't there")
    if "age" not in table.data and "condition" not in table.data:
        table.fault("", "there is neither an age nor a condition, so it would mean every row", "Say which rows go.")
    condition = table.text("condition")
    for found in check_condition(condition) if condition is not None else ():
        table.fault("condition", f"condition {_shown(condition)} can't be used: {found}")
    unit = table.text("age_unit", re.compile("|".join(get_args(AgeUnit))), f"one of {', '.join(get_args(AgeUnit))}")
    return RowsPolicy(
        **both,
        database=_database(table),
        table=_table(table),
        age=table.text("age", None, "the name of a column"),
        age_unit=unit,  # type: ignore[arg-type]  # one of its words, by the pattern
        timezone=_timezone(table),
        condition=condition,
        batch_rows=table.number("batch_rows", 5_000, 1, 100_000, whole=True),
        pause_seconds=table.number("pause_seconds", 0.2, 0, 60),
        archive=table.text("archive", _PREFIX, "folders of the object store, as in archive/sessions"),
        cascade=table.flag("cascade"),
        lock_seconds=table.number("lock_seconds", 5.0, 0.01, 600),
        statement_seconds=table.number("statement_seconds", 60.0, 0.01, 3600),
    )


def _files(table: Declaration, both: dict[str, Any]) -> FilesPolicy:
    table.refuse_unknown((*_BOTH, *_FILES))
    table.need("older_than", 'Say which files go: older_than = "30d".')
    table.need("prefix", 'Say which files go: prefix = "exports". The whole store is no prefix.')
    prefix = table.text("prefix", _PREFIX, "folders below the object store, as in exports/daily")
    return FilesPolicy(**{**both, "older_than": both["older_than"] or _STAND_IN}, prefix=prefix or "")


def _database(table: Declaration) -> str:
    value = table.text("database")
    if value is None:
        return ""
    if value.startswith("sqlite:") or _CONNECTION.fullmatch(value):
        return value
    if "://" in value:
        table.fault(
            "database",
            "database is a URL, which may hold a password",
            "Write a name, and its URL into TIDEMILL_CLEANUP_DATABASES__NAME. Only sqlite: goes here.",
        )
    else:
        table.fault("database", f"database is {_shown(value)}, expected a name of letters, digits and _")
    return ""


def _table(table: Declaration) -> TableName:
    value = table.text("table")
    try:
        return TableName.parse(value) if value is not None else TableName(None, "")
    except ValueError as error:
        table.fault("table", f"table is {_shown(value)}, {error}")
        return TableName(None, "")


def _timezone(table: Declaration) -> ZoneInfo:
    value = table.text("timezone", None, "a name such as Europe/Paris")
    try:
        return ZoneInfo(value or "UTC")
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        table.fault("timezone", f"timezone is {_shown(value)}, expected a name such as Europe/Paris ({error})")
    except KeyError:
        table.fault("timezone", f"timezone is {_shown(value)}, expected a name such as Europe/Paris")
    return ZoneInfo("UTC")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
