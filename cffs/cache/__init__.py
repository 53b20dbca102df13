"""The cache owns bytes of object versions that were verified: in memory by extents, on disk by blocks.

It must not know HTTP, FUSE, tasks or time: no function here is async, so each of them is atomic and every
invariant below holds at every checkpoint of everybody else.

* Extents of one version never overlap; an extent serves only what was committed to it.
* What is leased, kept and idle together never exceeds the budget; a lease that cannot be had is None, never a wait.
* Bytes that arrived and nobody read yet are not evicted for bytes that were read.
* A buffer is used again only when no view of it is alive.
* A block on disk is given out only when its checksum, seeded with its version and place, is right: whatever happened
  to the file, a wrong one is missing. Nothing is kept elsewhere: `rm` of any file is a correct repair.
* A block is found by another process only after `begin_publish`: until then its slot is in memory alone, so that a kill
  leaves nothing of an answer that might have proved wrong.
* What may wait for the disk is a `Transfer` with a descriptor of its own, for a thread; closing, evicting or replacing
  a file meanwhile is harmless, and the tables are changed on the loop alone, after it.

Checklist for whoever adds an `await` to a caller: a view got before it stays valid (its buffer is not recycled
under it), everything else (what is held, what is missing, what a lease covers) must be asked again after it.
`reader/` leases, commits and gets.
"""
