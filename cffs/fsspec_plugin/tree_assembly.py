"""The assembly of a tree without a mount, of the parts that a mount has.

Owns what differs from a mount: a catalogue of the process's own, no kernel that has to forget anything, credentials
that are found again in this very process. It must not know what is asked of the tree.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from cffs.cache.memory import MemoryCache
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon.account_folder import account_name
from cffs.daemon.assembly import TreeLeaves, build_context, build_objects, open_catalogue, open_origin
from cffs.daemon.descriptor_shares import descriptor_limit, shares
from cffs.daemon.disk_cache_setup import open_disk_cache
from cffs.daemon.sharing import opened_sharing
from cffs.fsspec_plugin.unmounted_tree import UnmountedTree
from cffs.tree.facts_to_catalog import FactsToCatalog
from cffs.tree.inodes import InodeTable

#: What stands before the paths that the tree's own files name, so that these can be opened as they are written.
URL = "callfire:/"


@asynccontextmanager
async def opened_tree(
    settings: Settings, folder: Path, *, reread: Callable[[], Settings]
) -> AsyncIterator[UnmountedTree]:
    """The tree of these settings, with its catalogue and its blocks in `folder`. No request is made. `reread` finds the
    settings again, in a thread, once the service refuses the credentials."""
    given = shares(descriptor_limit(), connections=settings.connections)
    settings = replace(settings, connections=given.connections)
    async with (
        opened_sharing(settings) as sharing,
        open_origin(settings.origin(), sharing) as origin,
        open_catalogue(settings, folder, origin, wall_ms=_wall_ms) as catalogue,
    ):
        catalog, background, transport = catalogue.catalog, catalogue.background, origin.transport
        disk = None
        if settings.cache_nbytes:
            disk = await open_disk_cache(folder, limit_nbytes=settings.cache_nbytes, most_open_files=given.files)
        inodes = InodeTable(catalog.versions)
        objects = build_objects(
            settings,
            origin,
            catalogue,
            cache=MemoryCache(settings.memory_nbytes),
            disk=disk,
            listener=FactsToCatalog(catalog, lambda _key: None),
        )
        context = build_context(
            settings,
            origin,
            catalogue,
            objects=objects,
            leaves=TreeLeaves(own_files={}, mountpoint=URL),
            name_changed=lambda _folder, _name: None,
        )

        async def renew_credentials() -> None:
            try:
                found = await trio.to_thread.run_sync(reread)
            except ValueError:
                return  # the configuration is being changed, or is broken: the refusal stands
            if account_name(found, b"-") == account_name(settings, b"-"):
                transport.use_credentials(found.credentials)

        transport.renew_by(renew_credentials, background)
        background.start(catalog.tend_forever)
        yield UnmountedTree(context, inodes, timeout_seconds=settings.timeout_seconds, connections=settings.connections)


def _wall_ms() -> int:
    return time.time_ns() // NS_PER_MS
