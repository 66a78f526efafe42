"""Publishing events: `Publisher` for threads, `AsyncPublisher` for asyncio, one core under both.

Here: making a message of a payload (`preparing`), the librdkafka producer and its delivery thread (`core`), receipts.
Not here: consuming, and anything that decides when an event is due.
"""

from tidemill.publisher.asynchronous import AsyncPublisher, AsyncReceipt
from tidemill.publisher.receipt import Delivered
from tidemill.publisher.sync import Publisher, Receipt

__all__ = ["AsyncPublisher", "AsyncReceipt", "Delivered", "Publisher", "Receipt"]
