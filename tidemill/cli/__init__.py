"""The `tidemill` command. Each module here holds one command; those of other packages are found by entry points.

A command's module must be cheap to import: what it needs of Kafka and streams is imported when it runs.
"""

from __future__ import annotations

import gc
import sys

from tidemill.service import COLLECT_AFTER


def main() -> None:
    """Run the `tidemill` command."""
    # The process is ours: neither its imports nor the events that it goes through leave much behind in cycles.
    gc.set_threshold(*COLLECT_AFTER)
    try:
        from tidemill.cli.app import build
    except ModuleNotFoundError as error:
        sys.exit(f"error: the command line needs {error.name!r}\nnext:  pip install 'tidemill[cli]'")
    build(sys.argv[1:])()
