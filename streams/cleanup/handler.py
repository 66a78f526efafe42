"""The handler of the clean-up stream: `cleanup.requested` in, rows and files gone, `cleanup.done` out.

Runs of one policy come one after the other, for the policy is the event's key. The file of policies is read for each
run: a faulty one stops nothing but the runs.
"""

from __future__ import annotations

from streams.cleanup.cleaner import clean
from streams.cleanup.policies import find_policy, read_policies
from streams.cleanup.policy import FilesPolicy
from streams.cleanup.request import Request, Watch
from streams.cleanup.settings import load_cleanup_settings
from tidemill.event import Event
from tidemill.events import CleanupDone, CleanupRequested
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.store import Store

RETRY = Retry(attempts=10, first=15.0, most=900.0)
"""For about an hour and a half: what is left then comes with the policy's next run."""
TIMEOUT_SECONDS = 7 * 3600.0
"""Above the longest `max_time`, for a run ends by itself; this is for a database that hangs."""


@stream("cleanup.requested", executor="thread", timeout=TIMEOUT_SECONDS, retry=RETRY, cancellable=True)
def cleanup(event: Event[CleanupRequested], work: Work) -> CleanupDone:
    """Apply the policy that one event names."""
    settings = load_cleanup_settings()
    policy = find_policy(read_policies(settings.policies), event.payload.policy)
    unit = "files" if isinstance(policy, FilesPolicy) else "rows"
    return clean(
        policy,
        Request(event.id, event.payload.as_of or event.time, event.payload.dry_run, event.payload.force),
        settings=settings,
        store=Store.from_settings(work.settings),
        state_dir=work.settings.state_dir,
        watch=Watch(lambda done, total: work.progress(done, total, unit=unit), lambda: work.is_cancelled),
    )
