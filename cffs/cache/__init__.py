"""Verified bytes of object versions: in memory by extents, on disk by blocks.

It owns what is held of each version, within a budget of memory and a limit of disk. It must not know HTTP, FUSE, tasks
or time. No function here is async, so each of them is atomic, and every invariant below holds at each checkpoint of any
caller.

* Extents of one version never overlap; an extent serves only what was committed to it.
* What is leased, kept and idle together never exceeds the budget; a lease that cannot be had is None, never a wait.
* Bytes that arrived and were not read yet are not evicted in favour of bytes that were read.
* A buffer is used again only when no view of it is alive.
* A block on disk is served only when its checksum, seeded with its version and place, is right: whatever happened to
  the file, a wrong block counts as missing. No other state exists: `rm` of any file is a correct repair.
* Another process finds a block only after `begin_publish`. Until then its slot is in memory alone, so that a kill
  leaves nothing of an answer that might have proved wrong.
* What may wait for the disk is a `Transfer` with a descriptor of its own, for a thread. Closing, evicting or replacing
  a file meanwhile is harmless, and the tables are changed on the loop alone, after the transfer.

Checklist for adding an `await` to a caller: a view that was got before it stays valid (its buffer is not recycled under
it). Everything else (what is held, what is missing, what a lease covers) must be asked again after it.
"""
