"""The namespace: which names exist, what they stand for, and what folders show.

It owns paths, nodes and inode numbers. It must not know the kernel's structures, HTTP, or SQL (but for the
conditions of `tree/search`): it reads rows from the catalogue, and has the account ask for what is missing.

`routes` is the table of every path, and pure. `inodes` makes the numbers and counts how often the kernel holds each,
with no I/O, no clock and no await. Each part of the tree has a module that resolves, lists and fills its nodes.
`handler_table` collects these functions, and `namespace` applies them.
"""
