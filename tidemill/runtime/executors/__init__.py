"""Where handlers that block run: a pool of threads, or a pool of processes that can be killed.

An executor runs one handler call at a time per slot, stops it at its time limit, and says when it could not.
"""

from tidemill.runtime.executors.fault import ExecutorFault, StuckHandler
from tidemill.runtime.executors.process import ProcessExecutor
from tidemill.runtime.executors.thread import ThreadExecutor

__all__ = ["ExecutorFault", "ProcessExecutor", "StuckHandler", "ThreadExecutor"]
