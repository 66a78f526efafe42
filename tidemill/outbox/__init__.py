"""The outbox: events that are written in the caller's own database transaction, and published once it is committed.

Here is what a service imports: the table (`ddl`), and `add`. It needs neither Kafka nor the registry; the program
`tidemill outbox relay` moves the rows. Must never commit, nor open a connection of its own.
"""

from tidemill.outbox.adding import add, add_async, add_many, add_many_async
from tidemill.outbox.ddl import ddl

__all__ = ["add", "add_async", "add_many", "add_many_async", "ddl"]
