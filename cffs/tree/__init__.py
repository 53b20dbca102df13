"""The namespace: which names exist, what they stand for, and what folders show.

It owns paths, nodes and inode numbers. It must not know the kernel's structures, SQL or HTTP: it reads rows from the
catalogue, and has the account ask for what is missing.

`routes` is the table of every path and `inodes` makes the numbers; both are pure. Each part of the tree has a module
that resolves, lists and fills its nodes. `handler_table` collects these functions, and `namespace` applies them.
"""
