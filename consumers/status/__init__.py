"""Where is my job: folds the events of a job into its state, in a database that `tidemill.jobs` reads.

`facts` and `verdict` compute, `evidence` reads messages, `fold` writes rows, `tracker` and `rebuild` run over topics.
Publishes nothing, and changes nothing in Kafka but the offsets of its own group.
"""
