"""The streams, one package each: pure logic in one module (bytes in, bytes out; no Kafka), the handler in another.

A stream imports `tidemill` and never another stream or program; it is found by the entry point `tidemill.streams`.
"""
