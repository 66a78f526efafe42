"""`tidemill outbox`: the relay, what waits, and the tables' SQL."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from tidemill.cli.terminal import command, err, out, print_json
from tidemill.outbox.ddl import ddl

app = typer.Typer(
    help="Events that services write in their own database transactions.", no_args_is_help=True, rich_markup_mode=None
)

RELAY_EPILOG = """
\b
Examples:
  TIDEMILL_OUTBOX_URL=postgresql://shop@db/shop tidemill outbox relay
  TIDEMILL_OUTBOX_URL=sqlite:////var/lib/shop.db tidemill outbox relay

\b
Run two or more (on Postgres): they share the lanes, and each takes over what another one leaves. Each row becomes one
event for readers of committed events, whichever is killed meanwhile.
"""
STATUS_EPILOG = """
\b
Examples:
  tidemill outbox status
  tidemill outbox status --json | jq .oldest_seconds

Exit status: 0 if no row is held because it can't be published; 1 if some are.
"""
SCHEMA_EPILOG = """
\b
Examples:
  tidemill outbox schema | psql shop
  tidemill outbox schema --dialect sqlite | sqlite3 shop.db

In an Alembic migration: op.execute(tidemill.outbox.ddl("postgresql")); see docs/outbox.md.
"""


@app.command(epilog=RELAY_EPILOG)
@command
def relay() -> None:
    """Move rows to Kafka until told to stop."""
    from producers.outbox.relay import Relay
    from producers.outbox.settings import load_outbox_settings
    from tidemill.config import load_settings
    from tidemill.service import collect_seldom, until_told
    from tidemill.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    program = Relay(settings, load_outbox_settings())
    until_told(program.stop)
    collect_seldom()
    program.run()


@app.command(epilog=STATUS_EPILOG)
@command
def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """How many rows wait, how old the oldest is, and which can't be published."""
    from producers.outbox.database import Database
    from producers.outbox.settings import load_outbox_settings
    from producers.outbox.status import read_status

    database = Database(load_outbox_settings())
    try:
        found = read_status(database)
    finally:
        database.close()
    if as_json:
        print_json(
            {
                "database": database.shown,
                "rows": found.rows,
                "held": found.held,
                "oldest_seconds": found.oldest_seconds,
                "lanes": [
                    {"lane": lane.lane, "rows": lane.rows, "held": lane.held, "oldest_seconds": lane.oldest_seconds}
                    for lane in found.lanes
                ],
                "problems": [problem.__dict__ for problem in found.problems],
            }
        )
    else:
        age = "" if found.oldest_seconds is None else f", the oldest for {found.oldest_seconds:,.1f} s"
        out.print(f"{found.rows:,} {'row waits' if found.rows == 1 else 'rows wait'}{age} ({database.shown})")
        if found.held:
            err.print(f"{found.held:,} of them can't be published and are held; the oldest:")
        for problem in found.problems:
            err.print(f"  row {problem.row}, {problem.type} {problem.event_id}: {problem.problem}", markup=False)
    raise typer.Exit(1 if found.held else 0)


@app.command(epilog=SCHEMA_EPILOG)
@command
def schema(
    dialect: Annotated[Literal["postgresql", "sqlite"], typer.Option(help="For which database.")] = "postgresql",
) -> None:
    """Print the SQL that makes the outbox's tables."""
    sys.stdout.write(ddl(dialect))


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.add_typer(app, name="outbox")
