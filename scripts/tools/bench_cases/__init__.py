"""The parts of `scripts/bench`.

`files` makes what is served, `site` serves it by one nginx, `programs` mounts it, `cases` reads it and takes the
samples, `demands` compares, `report` and `plot` show, `catalogue` is a bench of its own. Nothing here gates: a row that
misses its demand is a line in a table. Only 127.0.0.1 is asked.
"""
