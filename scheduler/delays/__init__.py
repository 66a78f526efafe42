"""Delayed events: they wait on the topic `schedule.delayed`, and who owns a partition of it sends them off when due.

The topic is the truth. What is kept beside it (`waiting`) is thrown away with the partition and read again by the next
owner. Not here: the form of a delayed event, which publishers write too (`tidemill.delayed`).
"""
