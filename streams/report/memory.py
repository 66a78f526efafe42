"""A report's own memory limit, within that of its process.

Linux counts the data segment (RLIMIT_DATA), in which libraries have their share before a report begins; elsewhere there
is no such limit.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import Reject

_STATUS = Path("/proc/self/status")


@contextmanager
def memory_limit(megabytes: int) -> Iterator[None]:
    """Let this process take so much more than it has, for the time of the block.

    Args:
        megabytes: How much; a lower limit that there is already stays.

    Raises:
        Reject: The block needed more, and was told so; a library that takes it badly ends the process instead.
    """
    if not _STATUS.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + megabytes * 1024 * 1024
    lowest = min(limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (lowest, hard))
    try:
        yield
    except MemoryError as error:
        raise Reject(
            f"The report needs more than its {megabytes:,} MB of memory.",
            hint="Raise memory_mb in [limits] and TIDEMILL_REPORT_MAX_MEMORY_MB, or show fewer rows.",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    (line,) = [line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024
