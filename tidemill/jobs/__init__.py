"""Where a job is: the reading side of what `tidemill tracker` keeps in a database.

A job is an event and everything that came of it. Programs ask by `Publisher.status` and `Publisher.wait`, or by `Jobs`
here. Reads only; needs the extra `status`, and no Kafka.
"""

from tidemill.jobs.reading import Jobs
from tidemill.jobs.state import State
from tidemill.jobs.status import EventStatus, Failure, JobResult, JobStatus, Progress

__all__ = ["EventStatus", "Failure", "JobResult", "JobStatus", "Jobs", "Progress", "State"]
