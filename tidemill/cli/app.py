"""Puts the commands together: those of this package, and those of the entry points `tidemill.commands`.

Such an entry point is a function that takes the Typer application and adds its commands to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli import cancel, doctor, effects, publish, replay, schemas, topics, up, worker
from tidemill.cli.terminal import err, out

if TYPE_CHECKING:
    from tidemill.config import Settings

GROUP = "tidemill.commands"


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The application with all commands that are installed.

    Args:
        arguments: What was typed. Where that is one of this package's own commands, those of others are left out: to
            import them takes a quarter of the time in which a worker starts.
    """
    app = typer.Typer(
        name="tidemill",
        help="Background work on Kafka: publish typed events, run streams over them, look after it all.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    up.AFTER_START = prepare_contracts
    app.command(epilog=up.UP_EXAMPLES)(up.up)
    app.command(epilog=up.DOWN_EXAMPLES)(up.down)
    app.command(epilog=up.STATUS_EXAMPLES)(up.status)
    app.command(epilog=doctor.EPILOG)(doctor.doctor)
    app.command(epilog=worker.EPILOG)(worker.worker)
    app.command(epilog=publish.EPILOG)(publish.publish)
    app.command(epilog=cancel.EPILOG)(cancel.cancel)
    app.add_typer(topics.app, name="topics")
    app.add_typer(schemas.app, name="schemas")
    app.add_typer(effects.app, name="effects")
    app.add_typer(replay.app, name="replay")
    if not {*arguments[:1]} & _names(app):
        _add_others(app)
    return app


def _names(app: typer.Typer) -> set[str | None]:
    functions = [command.callback for command in app.registered_commands]
    return {group.name for group in app.registered_groups} | {each.__name__ for each in functions if each is not None}


def _add_others(app: typer.Typer) -> None:
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            point.load()(app)
        except ImportError as error:
            # A program whose extra isn't installed: say so where it would be missed, and keep the rest usable.
            err.print(f"note: `tidemill {point.name}` is not available: {error}", markup=False)


def prepare_contracts(settings: Settings) -> Iterator[str]:
    """Make the topics and register the schemas of all contracts that are installed; a line about each step.

    Raises:
        TidemillError: The broker or the registry refuses.
    """
    from tidemill.contracts.catalogue import installed_events
    from tidemill.contracts.registration import register_contracts
    from tidemill.contracts.registry import Registry
    from tidemill.topics import apply, house_topics

    contracts = [cls.__contract__ for cls in installed_events()]
    changes = apply(settings, contracts, house=house_topics())
    yield f"{len(contracts)} contracts: {len(changes)} topics made or changed"
    with Registry(settings) as registry:
        registrations = register_contracts(registry, contracts, dry_run=False)
    new = sum(registration.action != "unchanged" for registration in registrations)
    yield f"{len(contracts)} schemas: {new} registered, {len(contracts) - new} unchanged"


def _version(asked: bool) -> None:
    if asked:
        out.print(f"tidemill {version('tidemill')}")
        raise typer.Exit


def _root(
    version_: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
