"""The stream runtime: what runs handlers over partitions, in order per key, and commits only what is done.

Here: the declaration (`stream`, `retry`, `work`), lanes and offsets (`partition`, no I/O), running handlers (`engine`,
`executors`), Kafka in (`source`) and out (`outputs`, `deadletter`), Faust (`app`), processes (`worker`, `supervisor`).
Not here: what any particular stream does.
"""
