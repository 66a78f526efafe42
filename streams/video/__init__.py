"""The video stream: asks for versions of a video come in, files in the object store and their facts go out.

What ffmpeg is told is computed (`transcode.py`, `poster.py`, `preview.py`) and what it says is read (`probe.py`)
without running it; `ffmpeg.py` runs it, as a child that is confined. `process.py` does the work for one event without
Kafka. Only `handler.py`, `jobs.py` and `command.py` may know about streams, topics and terminals.
"""
