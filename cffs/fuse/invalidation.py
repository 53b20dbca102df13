"""What the kernel is told to forget: attributes of files whose size was learned, numbers of objects that changed.

It must not know why something changed.
`fuse/operations` notes what the kernel was shown; `Invalidation` drains the catalogue's changes into the kernel and
hears from the reader that an object is another one.
"""

import logging
from collections.abc import Callable, Iterable

import pyfuse3
import trio

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.names import to_kernel
from cffs.core.values import Emptiness
from cffs.reader.object_info import Known, Learned
from cffs.tree.inodes import InodeTable

log = logging.getLogger(__name__)

#: Inodes whose shown size was not exact and may have to be corrected; past this the oldest keep their hint until the
#: kernel asks again by itself (KernelCaching.hint_seconds).
_NOTED = 100_000
#: Inodes that the kernel is told of (a system call each) before other tasks have their turn.
_AT_A_TIME = 500


class KernelView:
    """What the kernel was shown that may have to be taken back."""

    def __init__(
        self,
        forget: Callable[[Inode], None] | None = None,
        forget_name: Callable[[Inode, str], None] | None = None,
    ) -> None:
        self._inexact: dict[str, Inode] = {}
        self._forget = forget or _forget_attributes
        self._forget_name = forget_name or _forget_entry

    def note(self, key: str, inode: Inode) -> None:
        """The kernel was shown a size of the object `key` that is not exact."""
        self._inexact[key] = inode
        if len(self._inexact) > _NOTED:
            del self._inexact[next(iter(self._inexact))]

    def noted(self) -> list[str]:
        """Every object of which the kernel was shown a size that is not exact."""
        return list(self._inexact)

    def forget_attributes(self, inode: Inode) -> None:
        """Have the kernel ask for the inode's attributes again. Allowed inside a handler; never a checkpoint.

        Pages are not touched: invalidating those locks what a waiting read may hold.
        """
        self._forget(inode)

    def forget_attributes_of(self, key: str) -> None:
        """The same for whatever inode the object was last shown under, if it was not exact."""
        inode = self._inexact.pop(key, None)
        if inode is not None:
            self._forget(inode)

    def forget_name(self, folder: Inode, name: str) -> None:
        """Have the kernel look the name up anew. Allowed inside a handler: done by a thread, waited for by nobody."""
        self._forget_name(folder, name)


def _forget_entry(folder: Inode, name: str) -> None:
    pyfuse3.invalidate_entry_async(pyfuse3.InodeT(folder), pyfuse3.FileNameT(to_kernel(name)), ignore_enoent=True)


def _forget_attributes(inode: Inode) -> None:
    try:
        pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=True)
    except OSError as problem:
        # ENOENT: the kernel does not hold it any more, which is as good
        log.debug("attributes not invalidated inode=%d reason=%s", inode, problem)


class FactsToCatalog:
    """The reader's listener: what an answer taught goes to the catalogue, a changed object gets a new inode."""

    def __init__(self, catalog: Catalog, inodes: InodeTable) -> None:
        self._catalog = catalog
        self._inodes = inodes
        self._shown: Callable[[str], Iterable[Inode]] = lambda _key: ()
        self._kernel = KernelView()

    def attend(self, kernel: KernelView, shown: Callable[[str], Iterable[Inode]]) -> None:
        """There is a kernel to be told; `shown` gives the inodes of which it may have bytes of an object."""
        self._kernel, self._shown = kernel, shown

    def known(self, key: str) -> Known | None:
        """What an answer told before; also one of an earlier mount."""
        fact = self._catalog.fact(key)
        if fact is None or fact.nbytes is None:
            return None
        return Known(total_nbytes=fact.nbytes, validator=fact.validator, last_modified_ns=fact.modified_ns)

    def emptiness(self, key: str) -> Emptiness:
        """What the metadata tell."""
        return self._catalog.emptiness(key)

    def learned(self, learned: Learned) -> None:
        """An answer told size and validator. That an object is empty is not remembered: most often it is a mishap."""
        if learned.total_nbytes == 0:
            return
        self._catalog.learn(
            object_key=learned.key,
            source=learned.source.key,
            nbytes=learned.total_nbytes,
            validator=learned.validator,
            modified_ns=learned.last_modified_ns,
            is_known_version=learned.is_known_version,
        )

    def changed(self, key: str) -> None:
        """The origin has another version: whatever is open goes stale, and its names stand for new inodes."""
        if self._catalog.unlearn(key):
            log.info("object changed at the origin object=%s", key)
        for inode in self._shown(key):
            self._inodes.retire(inode)
            self._kernel.forget_attributes(inode)


async def drain_changes(catalog: Catalog, kernel: KernelView) -> None:
    """Tell the kernel of every change of the catalogue, and where more changed than was kept, of all that may have;
    runs until cancelled."""
    while True:
        keys, overflowed = await catalog.changes.drain()
        for number, key in enumerate(kernel.noted() if overflowed else keys):
            kernel.forget_attributes_of(key)
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await trio.lowlevel.checkpoint()
