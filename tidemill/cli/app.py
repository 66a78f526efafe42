"""Puts the commands together: those of this package, and those of the entry points `tidemill.commands`.

Such an entry point is a function that takes the Typer application and adds its commands to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli import cancel, doctor, effects, publish, replay, schemas, topics, up, worker
from tidemill.cli.terminal import err, out

if TYPE_CHECKING:
    from tidemill.config import Settings

GROUP = "tidemill.commands"


def build() -> typer.Typer:
    """The application with all commands that are installed."""
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
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            point.load()(app)
        except ImportError as error:
            # A program whose extra isn't installed: say so where it would be missed, and keep the rest usable.
            err.print(f"note: `tidemill {point.name}` is not available: {error}", markup=False)
    return app


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
