"""Units of bytes and time, and the sizes that several packages share.

It owns the numbers that must be one and the same everywhere. A number that belongs to one mechanism (a timeout, a
buffer, a window) stays with its mechanism, with its reason beside it.
"""

KIB = 2**10
MIB = 2**20
GIB = 2**30

MS_PER_SECOND = 1000
NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000

#: The unit in which audio is cached on disk, and what the kernel is given as the best size of a read (`st_blksize`). It
#: is the kernel's own default read-ahead. Smaller blocks cost more slots on disk, larger ones are fetched again more
#: often; with a larger `st_blksize`, Python's `open()` would read that much for the first few bytes of a file.
BLOCK_NBYTES = 128 * KIB
#: A tebibyte; no object of the service is larger. A size beyond it is a mistake or a lie and counts as unknown.
MAX_OBJECT_NBYTES = 2**40
