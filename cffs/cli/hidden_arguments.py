"""Arguments of this process that no list of processes shows any longer.

The kernel reads what `ps` and /proc show from the memory that the arguments came in. A secret given on the command line
is overwritten there, as curl does it; it showed for the moments before.

Owns that memory. It must not know which argument is a secret.
"""

import ctypes
import os
from pathlib import Path

#: Where the arguments begin and end, counted from the field after the process's name (proc_pid_stat(5)).
_BEGIN, _END = 45, 46


def hide_in_arguments(secret: str) -> None:
    """Overwrite each occurrence of the text; nothing where the kernel does not say where the arguments are."""
    hidden = os.fsencode(secret)
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        begin, end = int(fields[_BEGIN]), int(fields[_END])
    except (OSError, IndexError, ValueError):
        return
    if not hidden or not 0 < begin < end:
        return
    memory = (ctypes.c_char * (end - begin)).from_address(begin)
    memory.raw = memory.raw.replace(hidden, b"*" * len(hidden))
