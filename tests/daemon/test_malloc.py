"""glibc's malloc as the daemon sets it, measured on a process of its own."""

import subprocess
import sys

MEMORY_MIB = 48
#: What lies between used buffers in the heap, and the interpreter's own; without `give_back` it is 44 MiB.
MOST_MIB = MEMORY_MIB + 16

SCRIPT = f"""
import random
from pathlib import Path

from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.daemon import malloc

MIB = 1024 * 1024


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


def keep(nbytes):
    global position
    wanted = ByteRange(position, position + nbytes)
    lease = cache.lease(version, wanted, is_urgent=True, is_passing=False)
    lease.vacant[:] = bytes(nbytes)
    cache.commit(lease, nbytes)
    cache.seal(lease)
    cache.try_read(version, wanted)
    position += nbytes


malloc.keep_small()
cache = MemoryCache({MEMORY_MIB} * MIB, give_back=malloc.give_back)
version, position = ObjectVersion("a", None, None), 0
dice, before_mib = random.Random(1), resident_mib()
for _ in range(3):
    for _ in range(2500):
        keep(4096 * dice.randrange(1, 16))
    for _ in range({MEMORY_MIB} - 4):
        keep(MIB)
    print(resident_mib() - before_mib)
"""


def test_small_buffers_leave_no_memory_behind():
    """A cache that held small pieces and then large ones takes as much memory as its budget, however often they take
    turns."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    grown_mib = [float(line) for line in done.stdout.split()]
    assert len(grown_mib) == 3
    assert max(grown_mib) < MOST_MIB
