"""Notes beside recordings: files on this machine, and an index of their words.

It owns the notes' folder (`--notes DIR`) and the index. It must not know HTTP, FUSE, paths of the tree or the
catalogue: a recording is its id here. Everything in this package blocks for as long as the local disk does, except
where a docstring says otherwise.
"""
