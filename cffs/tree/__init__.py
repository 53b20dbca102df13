"""The tree owns the namespace: which names exist, what they stand for, what folders show, which number each has.

It must not know the kernel's structures, SQL or HTTP: it asks the catalogue for rows and the account for answers.
`fuse/` calls it with nodes and names and gets nodes, entries and contents back.

`routes` is the table of every path (pure), `inodes` the numbers (pure); one module a part of the tree says how its
nodes are resolved, listed and filled; `namespace` ties them together.
"""
