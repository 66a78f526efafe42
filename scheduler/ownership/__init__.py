"""Who emits what: partitions shared among instances, and each emitted from by one instance alone.

A consumer group hands out partitions (`membership`); whoever gets one has a thread for it (`keeper`) that shuts out the
owner before it, reads the partition's log and then writes in transactions (`transactions`) what its `duty` says. Not
here: what is emitted, which is `ticks` and `delays`.
"""
