"""A file of rows by its name: which format it has, and written in one go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidemill.errors import ConfigError
from tidemill.replay.extras import need
from tidemill.replay.formats import ENDINGS, make_writer


def format_of(path: Path) -> str:
    """The format that a file's name stands for, by its ending.

    Raises:
        ConfigError: It stands for none.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise ConfigError(
            f"The name {str(path)!r} doesn't say which format is meant.", hint=f"Let it end in {', '.join(ENDINGS)}."
        )
    return found


def write_file(path: Path, format_: str, schema: Any, batches: Iterable[Any]) -> int:
    """Write batches into a file, which has its name only when all of it is there; one of that name is replaced.

    Args:
        path: The file.
        format_: One of `WRITERS`.
        schema: The `pyarrow.Schema` of the batches.
        batches: Each a `pyarrow.RecordBatch`.

    Returns:
        How many rows were written.

    Raises:
        ConfigError: The file can't be written, or its format has no form for a column.
    """
    partial = path.with_name(path.name + ".partial")
    rows = 0
    try:
        partial.unlink(missing_ok=True)
        writer = make_writer(format_, partial, schema)
        try:
            for batch in batches:
                writer.write(batch)
                rows += batch.num_rows
        finally:
            writer.close()
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}.", hint="Look at its folder.") from error
    except need("pyarrow", "writing files").ArrowException as error:
        raise ConfigError(f"{path} can't be written: {error}.", hint="Cast the column to another type.") from error
    finally:
        partial.unlink(missing_ok=True)
    return rows
