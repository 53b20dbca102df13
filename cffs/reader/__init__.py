"""The reader owns the bytes of one remote object on their way from the origin to a READ: planner, fetches, files.

It must not know FUSE, paths, inodes or HTTP. `fuse/` opens, reads and closes through `ObjectRegistry`; `tree/` asks
sizes.

* Everything between two checkpoints is atomic; tables (`RemoteFileTable._current`, `Fetches.running`) are changed
  only in functions without an `await`.
* No byte of an object is on its way twice: a fetch covers [position, stop) from the moment it is begun until it
  is finished or dropped, and both happen without a checkpoint in between.
* A recording (up to 16 MiB) costs at most five requests and half a MiB more than its bytes, for all its readers and
  however often they come: what it has cost is the file's, kept by `ReadAhead` and, after its last reader left, by
  `ReaderDependencies`;
  what was asked for to complete it comes to its end though nobody waits. This does not hold where it cannot be kept,
  where connections are needed by others meanwhile, or where a READ has waited for seconds (`reader/planner`).
* A fetch belongs to the mount; whoever waits for it may leave at any checkpoint.
* Every waiter is woken when its bytes are there or when the fetch ends, however that happens.
* An origin that ignores ranges has one answer of the whole received at a time, as far as its readers are; going
  back to what was evicted meanwhile starts another from the first byte.
* Bytes enter memory and disk only under the version that the head of their own answer confirmed; those of an answer
  that proves malformed leave both, also where a thread is just writing them; and until an answer has ended without
  proving so, no block of it is found on disk by another process (kill -9).
* However many objects hang, another waits a second for the first of them to stop counting, and a tenth for a hundred
  more (`callfire/request_limiter`).
* What is on disk is never planned, and a READ asks the disk before the network; the disk refusing, failing or being
  slow costs a READ at most a moment, never a byte.

Checklist for whoever adds an `await`: (1) in a fetch, look at `fetch.has_ended()` and `lease.state` after it: the
fetch may have been dropped; (2) in a reader, ask the cache and the table again: bytes may have been evicted, the
object may have changed; (3) never between looking for a covering fetch and beginning one; (4) never in `finally`
without a shield; (5) say what it waits for (`core/wait_reasons`): inflight.json shows it.

Where the time goes. py-spy (500 Hz, native frames), perf and strace of the daemon, nginx and dd beside it on 2 cores
that others used as well; shares of the daemon's samples, epoll's waiting apart.

A cold stream of 256 MiB, read-ahead 128 KiB, no disk cache: 0.18 s of processor (perf: py-spy stops the process for
each look, and finds half as many system calls again).
    29 %  writev to /dev/fuse: the reply, one copy by the kernel, 2,058 of them; a sixth of it wakes the reader
    22 %  recv from the socket, a slab of 1 MiB each: 256 of them
    38 %  Python: pyfuse3's loop, `fuse/pyfuse3_loop`, trio, receiving; our handler is 4 us of a READ
     5 %  read, poll and epoll
More than half is the kernel's, of which curl needs half. A READ costs three system calls (read, writev, poll). It was
0.43 s as long as pyfuse3's tasks waited by trio's lock and epoll for each, 0.30 s while bytes were received by
256 KiB into buffers that ended where the window did, and 0.22 s before slabs lay in huge pages. With root's read-ahead
of 1 MiB 0.15 s: an eighth of the READs. The daemon's thread is busy for nine tenths of a stream, nginx, dd and their
copies fill half of the other processor.
With the disk cache: 0.06 s more for 256 pwrite of 1 MiB, one for the slots of each answer, and the checksums.
Before blocks were written by runs there were 4,099 pwrite, 2,060 dup and 2,048 close: 0.2 s.
From the disk alone, nothing in the system's page cache: 0.15 s by some 260 preadv of up to a MiB into slabs used again
(dd needs 0.11 to 0.15 s for a file of this machine); READ by READ into fresh buffers, read ahead by fadvise, it was 0.4
to 0.8 s. A first pass may still take that: on this virtual machine a page that was never used, or given back to the
host, costs 12 us to touch and not 2, and two page caches want 512 MiB of them.

64 KiB here and there in a cold file, 0 ms: 0.6 ms of processor a READ, one request each, 1,750 calls of functions.
    21 %  asking: gate, health, tries, httpx's request and response, checks of the head
    20 %  receiving: the task of a fetch, its lease, the wakers
    13 %  our handler and the plan; 13 % writev, 11 % send, 10 % h11, 7 % trio's loop, 3 % recv
No part stands out: less would mean fewer layers, or a request for more than was asked.

cp -r of 200 files (106 MB) at 50 ms, sizes known: 201 requests. The latency is paid by eight to sixteen connections at
once; what is left is 3 ms of processor a file:
    40 %  the kernel's calls: some 5 a file besides the READs; of that writev 13 %, open 5 %
    17 %  receiving, of which 7 % is making and filling a cache file (mkdir, open, header, blocks)
    13 %  asking: h11 and the send 5 %, the loop of tries and its gate 4 %
     9 %  trio's epoll and wake-ups

Tried, and not kept: draining the socket from the READ's handler (no gain: readpath.md); notify_store (deadlocks); a
thread for every write of a block (readpath.md: slower than in place); taking any write of over 5 ms for a slow disk
(on busy cores the writer had only lost its processor, and a second of thread hops followed: now it must have waited);
a thread for every write of a MiB (0.14 s more), RWF_DONTCACHE for writes (no gain);
windows of 2, 4 or 16 MiB, less kept behind the reader, waiting awake for 200 us instead of 50 (no difference that
outlasts a second look); reader and caches compiled by mypyc (a fifth of the time in Python, and an `await` broke);
telling the system to forget what was just read from the cache's file (no gain, looked at twice); reading that file
past the system's cache (dd with O_DIRECT needs 0.27 to 0.42 s for 256 MiB, without 0.15); huge pages by glibc's
tunable (no gain); taking a first READ of 256 KiB (cat, cp: posix_fadvise) for a reader in order (a latency less only
where the size is known, else the open has asked for as much already); 3 MiB brought early without a run to show for it
(4 % of `cp -r`, and half as much again is wasted by who stops);
glibc's own mmap threshold (it climbs to 32 MiB and leaves holes: 134 MiB with 64 readers, 108 since it is fixed).
"""
