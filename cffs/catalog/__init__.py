"""The catalogue owns what is known of the account: rows, learned facts, and the questions that fill them.

It must not know paths, inodes or the kernel; it answers in rows and leaves names of folders to `tree/`.
`tree/` reads it and asks it; `reader/` tells it what it learned through `learn`; `changes` is the one way up.

Rows are read inline on the loop (by key, at most 1000 at a time, never OFFSET); every write goes through one writer
thread with a connection of its own, a batch at a time, and is visible to the next read once awaited.
"""
