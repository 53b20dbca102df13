"""The cache owns bytes of object versions that were verified: in memory now, on disk under the same get/commit seam.

It must not know HTTP, FUSE, tasks or time: no function here is async, so each of them is atomic and every
invariant below holds at every checkpoint of everybody else.

* Extents of one version never overlap; an extent serves only what was committed to it.
* What is leased, kept and idle together never exceeds the budget; a lease that cannot be had is None, never a wait.
* Bytes that arrived and nobody read yet are not evicted for bytes that were read.
* A buffer is used again only when no view of it is alive.

Checklist for whoever adds an `await` to a caller: a view got before it stays valid (its buffer is not recycled
under it), everything else (what is held, what is missing, what a lease covers) must be asked again after it.
`reader/` leases, commits and gets.
"""
