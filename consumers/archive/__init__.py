"""Topics into Parquet files of the object store, each event exactly once; readers need no Kafka.

`rows` and `files` make files of slices, `committing` alone decides by `tidemill.replay.lake` which of them count.
"""
