"""The handlers of the kernel's calls, and wrappers that add to a few.

Owns what every set of handlers offers beyond pyfuse3's calls. It must not know the tree, nor what a wrapper adds.

A handler raises whatever went wrong; `fuse/guard`, which stands around the outermost set of handlers, turns that into
an errno. A wrapper therefore adds to a call as freely as the handlers below it: a bug of its own costs one call.
"""

from inspect import getmembers, isfunction

import pyfuse3


class Handlers(pyfuse3.Operations):
    """Handlers of every call, and what the guard asks of them besides.

    A handler is a checkpoint where it waits, and may be none where it need not. It is cancelled when its deadline
    passes or the mount ends: then it leaves no handle open, and a change that it was to make may have been made or not.
    """

    supports_dot_lookup = False  # no NFS export: `.` and `..` never reach lookup
    enable_writeback_cache = False
    enable_acl = False

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        """The answer to a READ where it is in memory; None where `read` has to answer. May raise what `read` may."""
        return None

    def describe_inode(self, number: int) -> str:
        """What an inode stands for, in words for people."""
        return str(number)

    def describe_handle(self, number: int) -> str:
        """What an open handle stands for, in words for people. Its numbers overlap with those of inodes."""
        return f"handle {number}"


#: pyfuse3 calls these two itself, and they are no requests of the kernel.
_NO_CALLS = frozenset({"init", "stacktrace"})
#: Every call that the kernel makes.
CALLS = frozenset(name for name, _ in getmembers(pyfuse3.Operations, isfunction) if name[0] != "_") - _NO_CALLS
_HANDED_ON = CALLS | {"try_read", "describe_inode", "describe_handle"}


class WrappedHandlers(Handlers):
    """Handlers that hand every call on to others; a subclass overrides the calls to which it adds something.

    What is not overridden is bound to the inner handlers once, here, so that it costs no frame of its own. A subclass
    that overrides `read` has to override `try_read` as well: a READ from memory is answered by that alone.
    """

    def __init__(self, inner: Handlers) -> None:
        self._inner = inner
        for name in _HANDED_ON:
            if getattr(type(self), name) is getattr(Handlers, name):
                setattr(self, name, getattr(inner, name))
