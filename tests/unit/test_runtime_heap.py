"""What a process of handlers does with the memory that they free."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from tidemill.runtime.executors.heap import keep_freed_memory
{keep}
def pictures(count):
    for _ in range(count):
        buffers = [bytearray(9_000_000) for _ in range(3)]
        del buffers
pictures(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
pictures(20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: str) -> int:
    """Those of twenty rounds."""
    program = PROGRAM.format(keep=keep)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no mallopt")
def test_freed_buffers_are_used_again_instead_of_given_back() -> None:
    # As glibc begins, and stays where nothing moves it.
    fixed = "import ctypes; [ctypes.CDLL(None).mallopt(each, 131072) for each in (-1, -3)]"
    assert page_faults(fixed) > 20 * 1000
    assert page_faults("keep_freed_memory()") < 100
