"""The dead-letter desk: folds all dead letters into an index, groups them, and puts them back where they died.

`letter`, `fingerprint` and `patching` compute, `fold` writes rows, `index` runs over topics, `redrive` and `discard`
act. What was done lies on the topic `dead.actions`; the index can be made anew from it and the letters' own topics.
"""
