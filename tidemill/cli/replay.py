"""`tidemill replay`: reads topics again. Each command has a module of its own, `replay_<command>`."""

from __future__ import annotations

import typer

from tidemill.cli import replay_count, replay_export, replay_head, replay_look, replay_publish, replay_sql, replay_tail

EPILOG = """
\b
Examples:
  tidemill replay count image.processed --by hour --from 1d
  tidemill replay export image.processed --from yesterday --to today --out day.parquet

\b
Reading joins no consumer group and changes nothing. In Python:
  from tidemill import replay; replay.scan("image.processed", "2h").to_pandas()
"""

app = typer.Typer(
    help="Read topics again: by time, key and condition, as tables or files; publish them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
)
app.command(epilog=replay_count.EPILOG)(replay_count.count)
app.command(epilog=replay_export.EPILOG)(replay_export.export)
app.command(epilog=replay_head.EPILOG)(replay_head.head)
app.command(epilog=replay_tail.EPILOG)(replay_tail.tail)
app.command(epilog=replay_look.EPILOG)(replay_look.look)
app.command(epilog=replay_sql.EPILOG)(replay_sql.sql)
app.command(epilog=replay_publish.EPILOG)(replay_publish.publish)
