"""The command line that goes on with what was interrupted."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def command_again(context: typer.Context, *more: str, without: tuple[str, ...] = ()) -> str:
    """The command that runs, as it could be typed again.

    Args:
        context: Of the command.
        more: What to add.
        without: Options to leave out, by their parameters' names.
    """
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            arguments += map(str, values)
        elif value is True:
            options.append(parameter.opts[0])
        elif value is not False:
            for each in values:
                options += [parameter.opts[0], str(each)]
    words = [*context.command_path.split(), *arguments, *options, *(each for each in more if each not in options)]
    return shlex.join(words)
