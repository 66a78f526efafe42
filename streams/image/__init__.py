"""The image stream: asks for renditions of a picture come in, files in the object store and their facts go out.

`process.py` does the work for one event without Kafka; everything below it is bytes in, bytes out, without files or
network (`render.py` is the entrance). Only `handler.py` and `command.py` may know about streams, topics and terminals.
"""
