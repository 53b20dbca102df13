"""The reader owns the bytes of one remote object on their way from the origin to a READ: planner, fetches, files.

It must not know FUSE, paths, inodes or HTTP. `fuse/` opens, reads and closes through `Objects`; `tree/` asks sizes.

* Everything between two checkpoints is atomic; tables (`Objects._files`, `Fetches._running`) are changed
  only in functions without an `await`.
* No byte of an object is on its way twice: a fetch covers [position, stop) from the moment it is begun until it
  is finished or dropped, and both happen without a checkpoint in between.
* A fetch belongs to the mount; whoever waits for it may leave at any checkpoint.
* Every waiter is woken when its bytes are there or when the fetch ends, however that happens.
* An origin that ignores ranges has one answer of the whole received at a time, as far as its readers are; going
  back to what was evicted meanwhile starts another from the first byte.
* Bytes enter memory and disk only under the version that the head of their own answer confirmed; those of an answer
  that proves malformed leave both, also where a thread is just writing them.
* What is on disk is never planned, and a READ asks the disk before the network; the disk refusing, failing or being
  slow costs a READ at most a moment, never a byte.

Checklist for whoever adds an `await`: (1) in a fetch, look at `fetch.has_ended()` and `lease.standing` after it: the
fetch may have been dropped; (2) in a reader, ask the cache and the table again: bytes may have been evicted, the
object may have changed; (3) never between looking for a covering fetch and beginning one; (4) never in `finally`
without a shield.
"""
