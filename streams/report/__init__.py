"""The report stream: a folder of queries and a page in, PDF, XLSX, CSV and HTML out.

All but `handler`, `jobs` and `command` works without Kafka. Nothing of another stream is imported: the mail that tells
of a report is an event.
"""
