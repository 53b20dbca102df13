"""The bytes of one remote object on their way from the origin to a READ.

It owns what is read and fetched: read-ahead and its policy, fetches, and the files that put them together. It must not
know FUSE, paths, inodes or HTTP.

What may run beside what, which code is atomic, and what to check before adding an `await` is written in
cffs/docs/reading.md; what a READ costs, and what was tried and not kept, in cffs/docs/performance.md#account-of-time.
"""
