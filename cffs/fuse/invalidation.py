"""News for the kernel: what it was shown and has to forget.

Owns what has to be taken back from the kernel (inexact sizes, names that changed), and the way of the catalogue's
changes to it. It must not know how a change is found.
"""

import logging
from collections.abc import Callable
from itertools import islice

import pyfuse3
import trio

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.names import to_kernel

log = logging.getLogger(__name__)

#: Inodes whose shown size was not exact and may have to be corrected (130 bytes each). Past this the oldest keep their
#: hint until they are opened, or the kernel asks again by itself (`KernelCaching.hint_seconds`).
_MOST_NOTED = 50_000
#: So many are forgotten at a time: the first key of a dict is found by passing over all that were deleted before it.
_FORGOTTEN_AT_A_TIME = 5_000


#: How many inodes the kernel is made to forget (a system call each) before other tasks have their turn.
_AT_A_TIME = 500


class KernelView:
    """What the kernel was shown that may have to be taken back."""

    def __init__(
        self,
        forget: Callable[[Inode], None] | None = None,
        forget_name: Callable[[Inode, str], None] | None = None,
    ) -> None:
        """`forget` and `forget_name` speak to the kernel; without a mount, a test gives its own."""
        self._inexact: dict[str, Inode] = {}
        self._forget = forget or _forget_attributes
        self._forget_name = forget_name or _forget_entry

    def note(self, key: str, inode: Inode) -> None:
        """The kernel was shown a size of the object `key` that is not exact."""
        self._inexact[key] = inode
        if len(self._inexact) > _MOST_NOTED:
            for oldest in list(islice(self._inexact, _FORGOTTEN_AT_A_TIME)):
                del self._inexact[oldest]

    def noted(self) -> list[str]:
        """Every object of which the kernel was shown a size that is not exact."""
        return list(self._inexact)

    def forget_attributes(self, inode: Inode) -> None:
        """Have the kernel ask for the inode's attributes again. Allowed inside a handler; never a checkpoint.

        Pages are not touched: invalidating those locks what a waiting read may hold.
        """
        self._forget(inode)

    def forget_attributes_of(self, key: str) -> None:
        """Have the kernel ask again for the attributes of the inode that last showed the object, if its size was not
        exact."""
        inode = self._inexact.pop(key, None)
        if inode is not None:
            self._forget(inode)

    def forget_name(self, folder: Inode, name: str) -> None:
        """Have the kernel look the name up again. Allowed inside a handler: a thread does it, and nothing waits for
        it."""
        self._forget_name(folder, name)


def _forget_entry(folder: Inode, name: str) -> None:
    pyfuse3.invalidate_entry_async(pyfuse3.InodeT(folder), pyfuse3.FileNameT(to_kernel(name)), ignore_enoent=True)


def _forget_attributes(inode: Inode) -> None:
    try:
        pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=True)
    except OSError as problem:
        # ENOENT: the kernel does not hold the inode any more, so there is nothing to forget
        log.debug("attributes not invalidated inode=%d reason=%s", inode, problem)


async def drain_changes(catalog: Catalog, view: KernelView) -> None:
    """Have the kernel forget what changed in the catalogue, or all that may have where more changed than was kept.

    Runs until it is cancelled.
    """
    while True:
        keys, overflowed = await catalog.changes.drain()
        for number, key in enumerate(view.noted() if overflowed else keys):
            view.forget_attributes_of(key)
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await trio.lowlevel.checkpoint()
