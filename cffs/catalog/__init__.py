"""The catalogue: what is known of an account, and the requests that find out more.

It owns rows, learned facts, and which request was answered when. It must not know paths, inodes or the kernel: it
answers in rows, and what a folder is called is up to `tree/`.

Rows are read inline on the event loop: by key, at most 1000 at a time, never by OFFSET. Searches, which may look at
every row, read in threads. Every write goes through one
writer thread with a connection of its own, a batch at a time; the next read sees it once the write has been awaited.
What is found out about an object comes in through the methods of `facts`, and `changes` is the one way up
(`cffs/docs/architecture.md#the-one-way-up`).
"""
