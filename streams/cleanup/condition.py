"""Is a policy's condition one expression that can be put in parentheses, and that looks at a row?

Relies on a lexer of the SQL that SQLite and PostgreSQL share. It keeps mistakes out, and what could leave the
parentheses; that a condition writes nothing is the database's to see to, which evaluates it first where only reading is
allowed.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--|/\*)
  | (?P<escaped>\b[eEuU]&?'|\$[A-Za-z_]*\$)
  | (?P<text>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<word>[^\W\d]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<open>\()
  | (?P<close>\))
  | (?P<end>;)
  | (?P<other>[^'"])
    """,
    re.VERBOSE,
)
_STATEMENT = re.compile(
    "insert|update|delete|merge|replace|truncate|drop|alter|create|grant|revoke|copy|call|do|execute|attach|detach|"
    "pragma|vacuum|begin|commit|rollback|set|into|returning"
)
_NO_COLUMN = re.compile(
    "and|or|not|null|true|false|is|in|like|ilike|between|exists|any|all|some|case|when|then|else|end|cast|as|collate|"
    "escape|distinct|from|select|where|interval|date|time|timestamp|current_date|current_time|current_timestamp|now"
)


def check_condition(text: str) -> list[str]:
    """What is wrong with a condition, each a clause for people; empty: nothing that can be seen without the table.

    Args:
        text: SQL, as it goes after WHERE.
    """
    faults: list[str] = []
    depth = 0
    names = 0
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return [*faults, "a quotation mark isn't closed"]
        at = match.end()
        word = match[0].lower()
        match match.lastgroup:
            case "comment":
                return [*faults, f"it holds a comment ({match[0]}); put it above the key, after #"]
            case "escaped":
                return [*faults, f"it holds {match[0]}; write plain text in '...', and '' for a quotation mark"]
            case "end":
                faults.append("it holds ';'; expected one expression")
            case "open":
                depth += 1
            case "close":
                depth -= 1
                if depth < 0:
                    return [*faults, "a ')' has no '(' before it"]
            case "word" if _STATEMENT.fullmatch(word):
                faults.append(f'it holds {match[0].upper()}; it may only look (a column of that name goes in "quotes")')
            case "quoted":
                names += 1
            case "word" if not _NO_COLUMN.fullmatch(word):
                names += 1
            case _:
                pass
    if depth > 0:
        faults.append("a '(' isn't closed")
    if not names and not faults:
        faults.append("it names no column, so it holds for all rows or for none" if text.strip() else "it is empty")
    return faults
