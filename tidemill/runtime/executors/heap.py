"""How the memory allocator of a process that runs handlers deals with what they free."""

from __future__ import annotations

import sys

# <malloc.h> of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 64 * 1024**2
MAPPED_FROM_BYTES = 32 * 1024**2
"""Both are what glibc's own adjustment ends at (mallopt(3): DEFAULT_MMAP_THRESHOLD_MAX, and twice as much)."""


def keep_freed_memory() -> None:
    """Have the process keep up to 64 MB of what a handler has freed, for the next event.

    glibc starts at 128 KB and raises that by what it happens to see freed. Until then, and depending on the order in
    which modules were imported for good, the buffers of every picture are given back to the system and taken anew, page
    by page: 8,600 page faults for each of 12 megapixels, an eighth of the time that it takes.
    """
    if sys.platform != "linux":
        return
    import ctypes

    # musl has none, and gives back little.
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        adjust(_M_TRIM_THRESHOLD, KEPT_BYTES)
