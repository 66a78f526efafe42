"""The demo: photographs through a real Kafka and two worker processes, checked and shown. `make demo` runs it."""
