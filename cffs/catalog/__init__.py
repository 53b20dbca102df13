"""The catalogue: what is known of an account, and the requests that find out more.

It owns rows, learned facts, and which request was answered when. It must not know paths, inodes or the kernel: it
answers in rows, and what a folder is called is up to `tree/`.

Rows are read inline on the event loop: by key, never by OFFSET, and those of a listing at most 1000 at a time; those of
one call, or of one folder of dynamic recordings, are read at once. `counts` alone looks at every row there, once after
a write. Searches, which may do that too, read in threads. Every write goes through one writer thread with a connection
of its own, a batch at a time; the next read sees it once the write has been awaited.
What is found out about an object comes in through the methods of `facts`, and `changes` is the one way up
(`cffs/docs/architecture.md#the-one-way-up`).
"""
