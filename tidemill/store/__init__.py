"""The object store: bytes by URI, in a local folder, S3, Google Cloud Storage or Azure.

Events carry a URI and a SHA-256 instead of large things; this package is how streams get at the bytes.
It reads only inside the store and the prefixes that Settings allow, and never over http. `obstore`, which talks to the
clouds, is imported when the first bucket is used: a process that only touches local files never pays for it.
"""

from tidemill.store.location import Location
from tidemill.store.store import ObjectInfo, Store, Written

__all__ = ["Location", "ObjectInfo", "Store", "Written"]
