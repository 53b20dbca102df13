"""What `scripts/bench` is made of: one nginx, the programs that read from it, the rows, and what they must reach.

`files` makes what is served, `site` serves it, `programs` mounts it, `cases` reads it and takes the samples, `demands`
compares, `report` and `plot` show, `catalogue` is a bench of its own. Nothing here gates: a row that misses is a line
in a table. Only 127.0.0.1 is ever spoken to.
"""
