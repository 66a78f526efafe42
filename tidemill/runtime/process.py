"""The main program of a worker process: `python -m tidemill.runtime.process '<json>'`, started by the supervisor.

Not for people: `tidemill worker` is.
"""

from __future__ import annotations

import os
import signal
import sys

# First of all: a SIGTERM that comes while the imports below run must end this process in good order; nothing has begun.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGINT, lambda *_: os._exit(0))


def main(argument: str) -> int:
    """Run the worker that the argument describes; returns the exit status."""
    import asyncio

    from tidemill.config import load_settings
    from tidemill.errors import TidemillError
    from tidemill.runtime.discover import load_streams
    from tidemill.runtime.orders import Orders
    from tidemill.runtime.parent import die_with_parent
    from tidemill.runtime.recorder import Recorder
    from tidemill.runtime.worker import EXIT_FAILED, EXIT_REFUSED, EXIT_UNAVAILABLE, Worker
    from tidemill.service import collect_seldom
    from tidemill.telemetry import configure_logging, get_logger

    orders = Orders.from_argument(argument)
    die_with_parent(signal.SIGTERM, parent=orders.supervisor_pid)

    def tell_ready() -> None:
        collect_seldom()
        if orders.ready_descriptor is not None:
            os.write(orders.ready_descriptor, b"1")
            os.close(orders.ready_descriptor)

    async def run() -> int:
        worker = Worker(
            load_streams(orders.streams),
            settings,
            concurrency=orders.concurrency,
            drain_seconds=orders.drain_seconds,
            on_ready=tell_ready,
            recorder=Recorder(orders.recorder_descriptor) if orders.recorder_descriptor is not None else None,
            suspects=orders.suspects,
        )
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, worker.stop)
        return await worker.run()

    try:
        settings = load_settings()
        configure_logging(settings)
        # Not asyncio.run, which would wait for a handler that ignores its cancellation: this process ends anyway.
        return asyncio.new_event_loop().run_until_complete(run())
    except TidemillError as error:
        if sys.stderr.isatty():
            from tidemill.console import report

            report(error)
        else:
            get_logger("worker").critical("can't run", error=error.message, next=error.hint, kind=type(error).__name__)
        return EXIT_UNAVAILABLE if error.retriable else EXIT_REFUSED
    except Exception:  # noqa: BLE001 - a fault of the runtime is told in the log's own format; the supervisor goes on
        get_logger("worker").critical("ended by an error of the runtime", exc_info=True)
        return EXIT_FAILED


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of handlers that could not be stopped must not hold up the end.
    os._exit(status)
