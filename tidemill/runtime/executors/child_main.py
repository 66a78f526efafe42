"""`python -m tidemill.runtime.executors.child_main FD`: a process that runs handlers, started by `handler_process`.

Apart from `child`, so that what is pickled here and in the worker is of one class, not of one in `__main__`.
"""

from __future__ import annotations

import sys

from tidemill.runtime.executors.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
