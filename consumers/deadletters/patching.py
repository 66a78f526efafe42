"""Patches of JSON data: a list of operations (RFC 6902, JSON Patch), or an object to be merged (RFC 7386).

Neither changes what it is given. Computes only.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tidemill.errors import DeadLetterError

_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def patched(document: Any, patch: Any) -> Any:
    """JSON data after a patch.

    Args:
        document: What to change.
        patch: A list of operations, or an object.

    Raises:
        DeadLetterError: The patch is none, or doesn't fit the data.
    """
    check_patch(patch)
    if isinstance(patch, dict):
        return _merged(document, patch)
    result = deepcopy(document)
    for number, operation in enumerate(patch):
        try:
            result = _applied(result, operation)
        except _Misfit as misfit:
            raise DeadLetterError(
                f"Operation {number} of the patch ({operation['op']} {operation['path']!r}) doesn't fit: {misfit}."
            ) from None
    return result


def check_patch(patch: Any) -> None:
    """See whether something is a patch at all.

    Raises:
        DeadLetterError: It isn't.
    """
    hint = 'A list as in RFC 6902: [{"op": "replace", "path": "/source", "value": "..."}]; or an object as in RFC 7386.'
    if isinstance(patch, dict):
        return
    if not isinstance(patch, list):
        raise DeadLetterError("The patch is neither a list nor an object.", hint=hint)
    for number, operation in enumerate(patch):
        name = operation.get("op") if isinstance(operation, dict) else None
        if name not in _OPERATIONS:
            raise DeadLetterError(
                f"Operation {number} of the patch has the op {name!r}, expected one of {', '.join(_OPERATIONS)}.",
                hint=hint,
            )
        for member in ("path", *(("from",) if name in ("move", "copy") else ())):
            pointer = operation.get(member)
            if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
                raise DeadLetterError(
                    f"Operation {number} of the patch has the {member} {pointer!r}, expected a JSON pointer.",
                    hint='It is empty, or begins with a slash: "/renditions/0/width" (RFC 6901).',
                )
        if name in ("add", "replace", "test") and "value" not in operation:
            raise DeadLetterError(f"Operation {number} of the patch ({name}) has no value.", hint=hint)


class _Misfit(Exception):
    """What a pointer names isn't there, or isn't what it should be."""


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _applied(document: Any, operation: dict[str, Any]) -> Any:
    path = _steps(operation["path"])
    match operation["op"]:
        case "add":
            return _added(document, path, deepcopy(operation["value"]))
        case "remove":
            return _removed(document, path)
        case "replace":
            _found(document, path)
            return _replaced(document, path, deepcopy(operation["value"]))
        case "copy":
            return _added(document, path, deepcopy(_found(document, _steps(operation["from"]))))
        case "move":
            origin = _steps(operation["from"])
            if path[: len(origin)] == origin and len(path) > len(origin):
                raise _Misfit("a value can't be moved into itself")
            value = _found(document, origin)
            return _added(_removed(document, origin), path, value)
        case _:
            if (found := _found(document, path)) != operation["value"] or type(found) is not type(operation["value"]):
                raise _Misfit(f"expected {operation['value']!r}, found {found!r}"[:200])
            return document


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _found(document: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(document, dict):
            if step not in document:
                raise _Misfit(f"there is no {step!r}")
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(step, len(document) - 1)]
        else:
            raise _Misfit(f"there is nothing below {step!r}")
    return document


def _index(step: str, most: int) -> int:
    if not (step.isascii() and step.isdigit() and len(step) < 10 and (step == "0" or step[0] != "0")):
        raise _Misfit(f"{step!r} is no place in a list")
    if int(step) > most:
        raise _Misfit(f"the list has no place {step}")
    return int(step)


def _at_parent(document: Any, path: list[str], change: Callable[[Any, str], None]) -> Any:
    parent = _found(document, path[:-1])
    if not isinstance(parent, dict | list):
        raise _Misfit(f"there is nothing below {path[-1]!r}")
    change(parent, path[-1])
    return document


def _added(document: Any, path: list[str], value: Any) -> Any:
    def change(parent: Any, step: str) -> None:
        if isinstance(parent, dict):
            parent[step] = value
        else:
            parent.insert(len(parent) if step == "-" else _index(step, len(parent)), value)

    return _at_parent(document, path, change) if path else value


def _replaced(document: Any, path: list[str], value: Any) -> Any:
    def change(parent: Any, step: str) -> None:
        parent[step if isinstance(parent, dict) else _index(step, len(parent) - 1)] = value

    return _at_parent(document, path, change) if path else value


def _removed(document: Any, path: list[str]) -> Any:
    def change(parent: Any, step: str) -> None:
        _found(parent, [step])
        del parent[step if isinstance(parent, dict) else _index(step, len(parent) - 1)]

    return _at_parent(document, path, change) if path else None
