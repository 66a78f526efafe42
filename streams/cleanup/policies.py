"""cleanup.toml: a text read as policies, or refused with all that is wrong in it. Reads one file at most."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from streams.cleanup.declaration import Declaration, read_policy
from streams.cleanup.faults import PoliciesError, PolicyFault
from streams.cleanup.key_lines import key_lines
from streams.cleanup.policy import FilesPolicy, RowsPolicy
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError, Reject

LARGEST_BYTES = 1_000_000
"""Size of a cleanup.toml."""
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")

AnyPolicy = RowsPolicy | FilesPolicy


def read_policies(path: Path) -> list[AnyPolicy]:
    """The policies of a file, in its order.

    Raises:
        PoliciesError: Anything in it is wrong; all faults are named, with their lines.
        ConfigError: The file can't be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror or error}.", hint="TIDEMILL_CLEANUP_POLICIES names the file."
        ) from error
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{path} has more than {LARGEST_BYTES:,} bytes.", hint="Is it the right file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"it is not UTF-8: byte 0x{content[error.start]:02x}"
        raise PoliciesError(path.name, [PolicyFault(line, None, found, "Save it as UTF-8.")]) from error
    return parse_policies(text, origin=path.name)


def parse_policies(text: str, *, origin: str = "cleanup.toml") -> list[AnyPolicy]:
    """The policies of a text, in its order.

    Args:
        text: TOML.
        origin: Where the text comes from, for messages.

    Raises:
        PoliciesError: Anything in it is wrong; all faults are named, with their lines.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PoliciesError(origin, [_syntax_fault(str(error), text)]) from error
    except RecursionError as error:
        raise PoliciesError(origin, [PolicyFault(1, None, "it is nested too deeply")]) from error
    lines = key_lines(text)
    faults: list[PolicyFault] = []
    for key in document:
        if key != "policy":
            hint = did_you_mean(key, ["policy"]) or "Policies are written as [[policy]]; there is nothing else."
            faults.append(PolicyFault(lines.get((-1, key), 1), None, f"there is no key {key!r}", hint))
    tables = document.get("policy", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        hint = "Write [[policy]], with two brackets, before each policy."
        faults.append(PolicyFault(lines.get((-1, "policy"), 1), None, "policy isn't a list of tables", hint))
        tables = []
    policies: list[AnyPolicy] = []
    names: dict[str, int] = {}
    for place, data in enumerate(tables):
        declaration = Declaration(data, {key: line for (at, key), line in lines.items() if at == place}, faults)
        policy = read_policy(declaration)
        if policy is None:
            continue
        if policy.name in names:
            declaration.fault("name", f"line {names[policy.name]} has this name already", "Each needs its own.")
        names.setdefault(policy.name, declaration.line("name"))
        policies.append(policy)
    if faults:
        raise PoliciesError(origin, faults)
    return policies


def find_policy(policies: list[AnyPolicy], name: str) -> AnyPolicy:
    """The policy of a name.

    Raises:
        Reject: There is none.
    """
    for policy in policies:
        if policy.name == name:
            return policy
    names = [policy.name for policy in policies]
    raise Reject(
        f"There is no policy {name!r}.",
        hint=did_you_mean(name, names)
        or f"Known are {', '.join(names) or 'none'}; they are in TIDEMILL_CLEANUP_POLICIES.",
    )


def _syntax_fault(said: str, text: str) -> PolicyFault:
    place = _PLACE.search(said)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    return PolicyFault(line, None, f"it is not TOML: {_PLACE.sub('', said)[:1].lower()}{_PLACE.sub('', said)[1:]}")
