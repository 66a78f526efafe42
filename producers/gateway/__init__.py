"""The HTTP gateway: takes events of programs that have no client of Kafka, checks and publishes them, and answers once
the broker has them.

Here is the program, `tidemill gateway`, and the commands for its tokens. An answer that an event is accepted must never
come before the broker's acknowledgement.
"""
