"""Contracts: what each event type looks like, and how its topic is made.

Here live the rules of a contract, the reader of `schemas/`, the generator of event classes, the compatibility check and
the one door to the schema registry. Nothing here talks to a Kafka broker. Importing this package must stay cheap, since
every generated events module does it: only `Contract` and `Payload` come along.
"""

from tidemill.contracts.contract import Contract, Payload

__all__ = ["Contract", "Payload"]
