"""News for the kernel: learned sizes, and objects that changed.

Owns the way from the reader's discoveries to the catalogue and on to the kernel. It must not know how a change is
found.
"""

import logging

import trio

from cffs.catalog.store import Catalog
from cffs.core.values import Emptiness
from cffs.fuse.presentation import KernelState, KernelView
from cffs.reader.object_info import Known, Learned
from cffs.tree.context import known_of

log = logging.getLogger(__name__)

#: How many inodes the kernel is made to forget (a system call each) before other tasks have their turn.
_AT_A_TIME = 500


class FactsToCatalog:
    """The reader's listener: facts go to the catalogue, and a changed object gets a new inode."""

    def __init__(self, catalog: Catalog, kernel: KernelState) -> None:
        self._catalog = catalog
        self._kernel = kernel

    def known(self, key: str) -> Known | None:
        """What an answer said before, also one of an earlier mount; its source is left out."""
        return known_of(self._catalog, key)

    def emptiness(self, key: str) -> Emptiness:
        """What the metadata say of the object's having no bytes."""
        return self._catalog.emptiness(key)

    def learned(self, learned: Learned) -> None:
        """An answer gave size and validator. An object without bytes is not remembered: most often it is a mishap."""
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
        """The origin has another version: open handles go stale, and the object's names stand for new inodes."""
        if self._catalog.unlearn(key):
            log.info("object changed at the origin object=%s", key)
        for inode in self._kernel.inodes_of(key):
            self._kernel.inodes.retire(inode)
            self._kernel.view.forget_attributes(inode)


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
