"""The clean-up stream: policies say which old rows and files go; each run says what went, and where it is archived.

Reading policies is computing (`policies.py`, `condition.py`, `table_name.py`). `database.py` is the only way to a
database, `target.py` knows a table, `selection.py` what of it is meant. `rows_run.py` and `files_run.py` remove. Only
`handler.py` and `command.py` may know about streams, topics and terminals. Nothing here ever deletes what no age and no
condition names.
"""
