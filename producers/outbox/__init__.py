"""The outbox's relay: moves rows that services have written in their transactions to Kafka, each exactly once.

Here is the program; what services import is `tidemill.outbox`. A lane of the table is moved by one relay at a time.
"""
